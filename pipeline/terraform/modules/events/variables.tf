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

variable "repository_names" {
  description = "Names of the ECR repositories whose pushes and deletions the operator hears of."
  type        = list(string)
  nullable    = false

  validation {
    condition     = length(var.repository_names) > 0
    error_message = "repository_names must name at least one repository: an empty list would match no event."
  }
}
