# With a mock of the provider, since the distribution's ARN is in the policy and comes with its creation:
# everything is "applied", nothing is made.

mock_provider "aws" {
  mock_resource "aws_cloudfront_distribution" {
    defaults = {
      arn         = "arn:aws:cloudfront::123456789012:distribution/E1"
      domain_name = "d1.cloudfront.net"
    }
  }

  mock_resource "aws_cloudfront_function" {
    defaults = {
      arn = "arn:aws:cloudfront::123456789012:function/a-function"
    }
  }
}


run "cloudfront_reads_images_and_nothing_else_of_the_bucket" {
  module {
    source = "./modules/images-cdn"
  }

  variables {
    name                 = "board"
    aws                  = { partition = "aws", region = "ap-northeast-2", account_id = "123456789012" }
    bucket               = "post-images"
    manage_bucket_policy = true
  }

  assert {
    condition = [for s in jsondecode(aws_s3_bucket_policy.images[0].policy).Statement : [s.Action, s.Resource, s.Condition] if s.Effect == "Allow"] == [
      ["s3:GetObject", "arn:aws:s3:::post-images/image_files/images/*", { ArnEquals = { "aws:SourceArn" = "arn:aws:cloudfront::123456789012:distribution/E1" } }]
    ]
    error_message = "CloudFront may read more than the images, or another distribution may"
  }

  assert {
    condition     = aws_cloudfront_origin_access_control.bucket.signing_behavior == "always"
    error_message = "CloudFront does not sign its requests"
  }

  assert {
    condition     = output.public_base_url == "https://d1.cloudfront.net"
    error_message = "publicBaseUrl does not lead to CloudFront"
  }

  assert {
    condition     = output.key_policy_statement == null
    error_message = "there is no key that CloudFront would need"
  }
}

run "cloudfront_decrypts_what_the_key_of_the_bucket_encrypts" {
  module {
    source = "./modules/images-cdn"
  }

  variables {
    name        = "board"
    aws         = { partition = "aws", region = "ap-northeast-2", account_id = "123456789012" }
    bucket      = "post-images"
    kms_key_arn = "arn:aws:kms:ap-northeast-2:123456789012:key/00000000-0000-0000-0000-000000000000"
  }

  assert {
    condition = jsondecode(output.key_policy_statement) == {
      Sid       = "ImagesByCloudFront"
      Effect    = "Allow"
      Principal = { Service = "cloudfront.amazonaws.com" }
      Action    = "kms:Decrypt"
      Resource  = "*"
      Condition = { ArnEquals = { "aws:SourceArn" = "arn:aws:cloudfront::123456789012:distribution/E1" } }
    }
    error_message = "CloudFront may do something other than decrypt for this distribution"
  }
}
