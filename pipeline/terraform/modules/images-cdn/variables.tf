variable "name" {
  description = "What the names of all resources begin with."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,22}[a-z0-9]$", var.name))
    error_message = "name must have 3 to 24 lower-case letters, digits and hyphens, begin with a letter and not end with a hyphen."
  }
}

variable "aws" {
  description = "Where everything is: the partition (aws, aws-cn, aws-us-gov), the region and the account's 12 digits. ARNs are put together from it, so that a plan shows policies whole."
  type = object({
    partition  = string
    region     = string
    account_id = string
  })
  nullable = false

  validation {
    condition     = can(regex("^[0-9]{12}$", var.aws.account_id))
    error_message = "aws.account_id must be the account's 12 digits, as `aws sts get-caller-identity` tells them."
  }
}

variable "bucket" {
  description = "Name of the bucket of uploaded images (spec.media.bucket)."
  type        = string
  nullable    = false
}

variable "bucket_region" {
  description = "The bucket's region; null: the region of all this."
  type        = string
  default     = null
}

variable "prefix" {
  description = "What the keys of uploaded images begin with (spec.media.prefix)."
  type        = string
  default     = "image_files"
  nullable    = false

  validation {
    condition     = can(regex("^[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)*$", var.prefix))
    error_message = "prefix must be like image_files or a/b, without slashes at its ends."
  }
}

variable "kms_key_arn" {
  description = "ARN of the bucket's KMS key if it has one of its own (images.kms_key_arn); null: it has none."
  type        = string
  default     = null
}

variable "manage_bucket_policy" {
  description = "Whether the bucket's whole policy is made here. If the bucket has one already, leave it false and put the output bucket_policy into it."
  type        = bool
  default     = false
  nullable    = false
}

variable "domain_names" {
  description = "Names of your own by which browsers reach the images, e.g. images.example.com; empty: the name that CloudFront gives."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = length(var.domain_names) == 0 || var.certificate_arn != null
    error_message = "domain_names need certificate_arn, a certificate that covers them."
  }
}

variable "certificate_arn" {
  description = "ARN of the ACM certificate of domain_names; CloudFront takes it from us-east-1 only."
  type        = string
  default     = null

  validation {
    condition     = var.certificate_arn == null || can(regex("^arn:[^:]+:acm:us-east-1:", var.certificate_arn))
    error_message = "certificate_arn must be a certificate in us-east-1: CloudFront takes no other."
  }
}

variable "price_class" {
  description = "Where CloudFront answers from: PriceClass_100 (North America, Europe), PriceClass_200 (also Asia) or PriceClass_All."
  type        = string
  default     = "PriceClass_200"
  nullable    = false

  validation {
    condition     = contains(["PriceClass_100", "PriceClass_200", "PriceClass_All"], var.price_class)
    error_message = "price_class must be PriceClass_100, PriceClass_200 or PriceClass_All."
  }
}

variable "web_acl_arn" {
  description = "ARN of a WAFv2 web ACL of scope CLOUDFRONT; null: none."
  type        = string
  default     = null
}

variable "access_log_bucket_domain" {
  description = "Domain of a bucket for access logs, NAME.s3.amazonaws.com, which allows ACLs; null: none are written."
  type        = string
  default     = null
}
