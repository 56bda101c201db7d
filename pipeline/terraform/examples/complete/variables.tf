# What each means, and what it may be, the module says: its variables.tf.

variable "region" {
  description = "AWS region of the cluster, and of everything that is made."
  type        = string

  validation {
    condition     = can(regex("^[a-z]{2}(-[a-z]+)+-[0-9]$", var.region))
    error_message = "region must be the code of a region, like ap-northeast-2."
  }
}

variable "tags" {
  description = "Tags of all resources."
  type        = map(string)
  default     = {}
}

variable "name" {
  description = "What the names of all resources begin with."
  type        = string
  default     = "post-service"
}

variable "repository" {
  description = "The source on GitHub, OWNER/NAME."
  type        = string
}

variable "branch" {
  description = "The branch whose commits are built and deployed."
  type        = string
  default     = "main"
}

variable "service_repository_name" {
  description = "Name of the ECR repository of the service's images."
  type        = string
  default     = "post-service"
}

variable "operator_repository_name" {
  description = "Name of the ECR repository of the operator's images."
  type        = string
  default     = "post-operator"
}

variable "cluster_name" {
  description = "The EKS cluster."
  type        = string
}

variable "architecture" {
  description = "Processor of your nodes, amd64 or arm64."
  type        = string
  default     = "amd64"
}

variable "approval" {
  description = "{} and a person approves each deployment; null: nobody is asked."
  type = object({
    notification_topic_arn = optional(string)
  })
  default = null
}

variable "vpc" {
  description = "For a cluster whose endpoint is private; null: the deploy stage runs outside of any VPC."
  type = object({
    id                        = string
    subnet_ids                = list(string)
    cluster_security_group_id = optional(string)
  })
  default = null
}

variable "images" {
  description = "Bucket of uploaded images; null: none."
  type = object({
    bucket      = string
    prefix      = optional(string, "image_files")
    kms_key_arn = optional(string)
  })
  default = null
}

variable "images_cdn" {
  description = "{} and CloudFront serves the images; null: the service does."
  type = object({
    bucket_region            = optional(string)
    manage_bucket_policy     = optional(bool, false)
    domain_names             = optional(list(string), [])
    certificate_arn          = optional(string)
    price_class              = optional(string, "PriceClass_200")
    web_acl_arn              = optional(string)
    access_log_bucket_domain = optional(string)
  })
  default = null
}

variable "cognito" {
  description = "User pool in which the service closes accounts; null: none."
  type = object({
    user_pool_id = string
    deactivation = optional(string, "Delete")
  })
  default = null
}
