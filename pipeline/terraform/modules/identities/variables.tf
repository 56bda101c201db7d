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

variable "permissions_boundary_arn" {
  description = "ARN of the permissions boundary that every role gets; null: none."
  type        = string
  default     = null

  validation {
    condition     = var.permissions_boundary_arn == null || can(regex("^arn:[^:]+:iam::[^:]*:policy/", var.permissions_boundary_arn))
    error_message = "permissions_boundary_arn must be the ARN of an IAM policy, arn:aws:iam::ACCOUNT:policy/NAME, or null."
  }
}

variable "cluster_name" {
  description = "The EKS cluster that both run on."
  type        = string
  nullable    = false
}

variable "pod_credentials" {
  description = "How pods get their roles: pod-identity (the EKS Pod Identity Agent, which Auto Mode has and other clusters get as an add-on) or irsa (the cluster's OIDC provider)."
  type        = string
  default     = "pod-identity"
  nullable    = false

  validation {
    condition     = contains(["pod-identity", "irsa"], var.pod_credentials)
    error_message = "pod_credentials must be pod-identity or irsa."
  }
}

variable "oidc_provider_arn" {
  description = "For irsa: ARN of the cluster's OIDC provider in IAM."
  type        = string
  default     = null

  validation {
    condition     = var.pod_credentials != "irsa" || can(regex("^arn:[^:]+:iam::[0-9]{12}:oidc-provider/", var.oidc_provider_arn))
    error_message = "pod_credentials irsa needs oidc_provider_arn, arn:aws:iam::ACCOUNT:oidc-provider/oidc.eks.REGION.amazonaws.com/id/ID. `eksctl utils associate-iam-oidc-provider` makes one."
  }
}

variable "operator" {
  description = "The operator's service account: namespace and name of the Helm release."
  type = object({
    namespace       = string
    service_account = string
  })
  nullable = false
}

variable "service" {
  description = "The pods' service account: namespace of the PostService, and spec.serviceAccount.name or else the PostService's name."
  type = object({
    namespace       = string
    service_account = string
  })
  nullable = false
}

variable "repository_names" {
  description = "Names of the ECR repositories that PostServices name."
  type        = list(string)
  nullable    = false
}

variable "queue_arn" {
  description = "ARN of the queue of push events."
  type        = string
  nullable    = false
}

variable "images" {
  description = "Where the service keeps uploaded images: spec.media's bucket and prefix, and the ARN of the bucket's KMS key if it has one of its own. null: nowhere in S3."
  type = object({
    bucket      = string
    prefix      = optional(string, "image_files")
    kms_key_arn = optional(string)
  })
  default = null

  validation {
    condition = var.images == null || try(
      can(regex("^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$", var.images.bucket)) && can(regex("^[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)*$", var.images.prefix)),
      false,
    )
    error_message = "images needs the name of a bucket (no ARN), and a prefix like image_files or a/b, without slashes at its ends."
  }
}

variable "cognito" {
  description = "The user pool, and what closing an account does there (spec.auth.deactivation): Delete or Disable. null: the service gets no right in Cognito."
  type = object({
    user_pool_id = string
    deactivation = optional(string, "Delete")
  })
  default = null

  validation {
    condition = var.cognito == null || try(
      can(regex("^[a-z0-9-]+_[A-Za-z0-9]+$", var.cognito.user_pool_id)) && contains(["Delete", "Disable"], var.cognito.deactivation),
      false,
    )
    error_message = "cognito needs user_pool_id, like ap-northeast-2_AbCdEfGhI, and deactivation Delete or Disable."
  }
}
