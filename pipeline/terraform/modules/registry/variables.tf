variable "kms_key_arn" {
  description = "ARN of the KMS key that encrypts what is kept here."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^arn:[^:]+:kms:[^:]+:[0-9]{12}:key/", var.kms_key_arn))
    error_message = "kms_key_arn must be the ARN of a key (arn:aws:kms:REGION:ACCOUNT:key/ID), not of an alias."
  }
}

variable "repository_names" {
  description = "Names of the ECR repositories, e.g. post-service."
  type        = set(string)
  nullable    = false

  validation {
    condition     = alltrue([for name in var.repository_names : can(regex("^[a-z0-9]+(?:[._/-][a-z0-9]+)*$", name)) && length(name) >= 2 && length(name) <= 256])
    error_message = "Names of repositories are of lower-case letters and digits, with single `.`, `_`, `-` or `/` between them."
  }
}

variable "keep_images" {
  description = "How many of the images pushed last a repository keeps, whatever their age. One that more than so many followed is deleted."
  type        = number
  default     = 300
  nullable    = false

  validation {
    condition     = var.keep_images >= 50 && var.keep_images == floor(var.keep_images)
    error_message = "keep_images must be a whole number of at least 50: with fewer, a busy day takes images that are wanted for going back."
  }
}

variable "keep_deployed_images" {
  description = "How many images with a tag deployed-… a repository keeps; keep_images does not count for them."
  type        = number
  default     = 100
  nullable    = false

  validation {
    condition     = var.keep_deployed_images >= 10 && var.keep_deployed_images == floor(var.keep_deployed_images)
    error_message = "keep_deployed_images must be a whole number of at least 10: they are what runs, and what you go back to."
  }
}

variable "untagged_days" {
  description = "Days after the push that an image without any tag is kept."
  type        = number
  default     = 14
  nullable    = false

  validation {
    condition     = var.untagged_days >= 1 && var.untagged_days == floor(var.untagged_days)
    error_message = "untagged_days must be a whole number of days, at least 1."
  }
}
