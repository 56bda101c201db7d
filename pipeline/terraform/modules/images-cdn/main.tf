# Uploaded images by CloudFront, straight from the bucket, at the path that the service gives them:
# /api/v1/images/images/POST/FILE. With publicBaseUrl of spec.media set to this distribution the addresses
# of new images lead here. Nothing else of the bucket is reachable.

locals {
  bucket_arn = "arn:${var.aws.partition}:s3:::${var.bucket}"
  region     = coalesce(var.bucket_region, var.aws.region)
  # The managed policy CachingOptimized has this id in all accounts.
  caching_optimized = "658327ea-f89d-4fab-a63d-7e88639e58f6"
}

resource "aws_cloudfront_origin_access_control" "bucket" {
  name                              = "${var.name}-images"
  description                       = "Uploaded images in ${var.bucket}"
  origin_access_control_origin_type = "s3"
  signing_behavior                  = "always"
  signing_protocol                  = "sigv4"
}

resource "aws_cloudfront_function" "path" {
  name    = "${var.name}-images-path"
  comment = "From the API's path of an image to its key; anything else is not found"
  runtime = "cloudfront-js-2.0"
  publish = true
  code    = file("${path.module}/path.js")
}

resource "aws_cloudfront_function" "caching" {
  name    = "${var.name}-images-caching"
  comment = "What lies at an address never changes"
  runtime = "cloudfront-js-2.0"
  publish = true
  code    = file("${path.module}/caching.js")
}

# Should something that is no image ever lie there, no browser shall run it.
resource "aws_cloudfront_response_headers_policy" "images" {
  # checkov:skip=CKV_AWS_259:HTTPS for a year, but for this name only: its subdomains and the preload list are not ours to speak for
  name    = "${var.name}-images"
  comment = "Images are images"

  security_headers_config {
    content_type_options {
      override = true
    }

    content_security_policy {
      content_security_policy = "default-src 'none'; sandbox"
      override                = true
    }

    strict_transport_security {
      access_control_max_age_sec = 31536000
      override                   = true
    }
  }
}

resource "aws_cloudfront_distribution" "images" {
  # checkov:skip=CKV_AWS_68:web_acl_arn takes a firewall that is there; only GET and HEAD of one path come through, to a bucket
  # checkov:skip=CKV2_AWS_47:As CKV_AWS_68; nothing of Log4j is behind it
  # checkov:skip=CKV_AWS_86:Written where access_log_bucket_domain names a bucket for it
  # checkov:skip=CKV_AWS_174:TLS 1.2 with a certificate of your own; CloudFront's own name allows no choice
  # checkov:skip=CKV2_AWS_42:With domain_names; CloudFront's own name works without
  # checkov:skip=CKV_AWS_310:The bucket is the only place of the images
  # checkov:skip=CKV_AWS_374:The board is open to all countries
  # checkov:skip=CKV_AWS_305:There is no page at the root, and the function answers 404 for it
  enabled         = true
  comment         = "${var.name}: uploaded images"
  is_ipv6_enabled = true
  http_version    = "http2and3"
  price_class     = var.price_class
  aliases         = var.domain_names
  web_acl_id      = var.web_acl_arn

  origin {
    origin_id                = "images"
    domain_name              = "${var.bucket}.s3.${local.region}.amazonaws.com"
    origin_path              = "/${var.prefix}"
    origin_access_control_id = aws_cloudfront_origin_access_control.bucket.id
  }

  default_cache_behavior {
    target_origin_id           = "images"
    viewer_protocol_policy     = "redirect-to-https"
    allowed_methods            = ["GET", "HEAD"]
    cached_methods             = ["GET", "HEAD"]
    cache_policy_id            = local.caching_optimized
    response_headers_policy_id = aws_cloudfront_response_headers_policy.images.id

    function_association {
      event_type   = "viewer-request"
      function_arn = aws_cloudfront_function.path.arn
    }

    function_association {
      event_type   = "viewer-response"
      function_arn = aws_cloudfront_function.caching.arn
    }
  }

  # For CloudFront S3 has 403 for what is not there; an image that comes a moment later shall be seen.
  custom_error_response {
    error_code            = 403
    error_caching_min_ttl = 10
  }

  viewer_certificate {
    cloudfront_default_certificate = var.certificate_arn == null
    acm_certificate_arn            = var.certificate_arn
    minimum_protocol_version       = var.certificate_arn == null ? null : "TLSv1.2_2021"
    ssl_support_method             = var.certificate_arn == null ? null : "sni-only"
  }

  restrictions {
    geo_restriction {
      restriction_type = "none"
    }
  }

  dynamic "logging_config" {
    for_each = var.access_log_bucket_domain[*]

    content {
      bucket          = logging_config.value
      prefix          = "${var.name}-images/"
      include_cookies = false
    }
  }
}

resource "aws_s3_bucket_policy" "images" {
  count = var.manage_bucket_policy ? 1 : 0

  bucket = var.bucket
  policy = local.bucket_policy
}

locals {
  # In a key's own policy the resource `*` is that key and no other.
  key_policy_statement = jsonencode({
    Sid       = "ImagesByCloudFront"
    Effect    = "Allow"
    Principal = { Service = "cloudfront.amazonaws.com" }
    Action    = "kms:Decrypt"
    Resource  = "*"
    Condition = { ArnEquals = { "aws:SourceArn" = aws_cloudfront_distribution.images.arn } }
  })
  bucket_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid       = "ImagesByCloudFront"
        Effect    = "Allow"
        Principal = { Service = "cloudfront.amazonaws.com" }
        Action    = "s3:GetObject"
        Resource  = "${local.bucket_arn}/${var.prefix}/images/*"
        Condition = { ArnEquals = { "aws:SourceArn" = aws_cloudfront_distribution.images.arn } }
      },
      {
        Sid       = "TlsOnly"
        Effect    = "Deny"
        Principal = "*"
        Action    = "s3:*"
        Resource  = [local.bucket_arn, "${local.bucket_arn}/*"]
        Condition = { Bool = { "aws:SecureTransport" = "false" } }
      },
    ]
  })
}
