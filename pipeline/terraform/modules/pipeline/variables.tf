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

variable "kms_key_arn" {
  description = "ARN of the KMS key that encrypts what is kept here."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^arn:[^:]+:kms:[^:]+:[0-9]{12}:key/", var.kms_key_arn))
    error_message = "kms_key_arn must be the ARN of a key (arn:aws:kms:REGION:ACCOUNT:key/ID), not of an alias."
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

variable "repository" {
  description = "The source on GitHub, OWNER/NAME."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[A-Za-z0-9-]+/[A-Za-z0-9._-]+$", var.repository))
    error_message = "repository must be OWNER/NAME, without https://github.com/ and without .git."
  }
}

variable "branch" {
  description = "The branch whose commits are built and deployed."
  type        = string
  default     = "main"
  nullable    = false
}

variable "connection_arn" {
  description = "ARN of a connection to GitHub that is there already and Available; null: one is made, and a person confirms it in the console."
  type        = string
  default     = null

  validation {
    condition     = var.connection_arn == null || can(regex("^arn:[^:]+:(codeconnections|codestar-connections):[^:]+:[0-9]{12}:connection/", var.connection_arn))
    error_message = "connection_arn must be the ARN of a CodeConnections connection, or null."
  }
}

variable "execution_mode" {
  description = "What becomes of a commit while an older one is on its way: QUEUED, each is deployed in turn; SUPERSEDED, the newest waiting one wins."
  type        = string
  default     = "QUEUED"
  nullable    = false

  validation {
    condition     = contains(["QUEUED", "SUPERSEDED"], var.execution_mode)
    error_message = "execution_mode must be QUEUED or SUPERSEDED. PARALLEL would let two deployments overtake each other, and cannot roll back."
  }
}

variable "approval" {
  description = "Set it (also to {}) and a person approves each deployment; an SNS topic is told if its ARN is given. null: nobody is asked."
  type = object({
    notification_topic_arn = optional(string)
  })
  default = null

  validation {
    condition     = try(var.approval.notification_topic_arn, null) == null || can(regex("^arn:[^:]+:sns:", var.approval.notification_topic_arn))
    error_message = "approval.notification_topic_arn must be the ARN of an SNS topic, or left out."
  }
}

variable "service_repository" {
  description = "The service's ECR repository."
  type = object({
    name = string
    url  = string
  })
  nullable = false
}

variable "operator_repository" {
  description = "The operator's ECR repository."
  type = object({
    name = string
    url  = string
  })
  nullable = false
}

variable "architecture" {
  description = "Processor of your nodes, amd64 or arm64: images are built on machines of the same kind."
  type        = string
  default     = "amd64"
  nullable    = false

  validation {
    condition     = contains(["amd64", "arm64"], var.architecture)
    error_message = "architecture must be amd64 or arm64."
  }
}

variable "build_compute_type" {
  description = "Size of the machine that builds: BUILD_GENERAL1_MEDIUM has 4 processors and 7 GB (ARM: 4 and 8), LARGE twice that and more."
  type        = string
  default     = "BUILD_GENERAL1_MEDIUM"
  nullable    = false

  validation {
    condition     = contains(["BUILD_GENERAL1_MEDIUM", "BUILD_GENERAL1_LARGE", "BUILD_GENERAL1_XLARGE"], var.build_compute_type)
    error_message = "build_compute_type must be BUILD_GENERAL1_MEDIUM, _LARGE or _XLARGE: _SMALL has too little memory to compile the AWS SDK, and _2XLARGE has no local cache."
  }
}

variable "build_timeout_minutes" {
  description = "Minutes after which a build is given up."
  type        = number
  default     = 60
  nullable    = false

  validation {
    condition     = var.build_timeout_minutes >= 5 && var.build_timeout_minutes <= 480
    error_message = "build_timeout_minutes must be between 5 and 480."
  }
}

variable "deploy_timeout_minutes" {
  description = "Minutes to wait for the operator's verdict. At least what the PostService lets a rollout take: migrations.timeout + rollout.bake.duration + rollout.progressDeadline + rollout.drainDelay, and two minutes; 31.25 by default."
  type        = number
  default     = 35
  nullable    = false

  validation {
    condition     = var.deploy_timeout_minutes >= 5 && var.deploy_timeout_minutes <= 470 && var.deploy_timeout_minutes == floor(var.deploy_timeout_minutes)
    error_message = "deploy_timeout_minutes must be a whole number between 5 and 470: CodeBuild ends a project after 480, and the verdict must come before."
  }
}

variable "cluster_name" {
  description = "The EKS cluster. Its authentication mode must be API or API_AND_CONFIG_MAP."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[0-9A-Za-z][A-Za-z0-9_-]{0,99}$", var.cluster_name))
    error_message = "cluster_name must be the name of an EKS cluster, not its ARN."
  }
}

variable "namespace" {
  description = "Kubernetes namespace of the PostService."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$", var.namespace))
    error_message = "namespace must be a Kubernetes name: lower-case letters, digits and hyphens, at most 63."
  }
}

variable "post_service" {
  description = "Name of the PostService."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$", var.post_service))
    error_message = "post_service must be a Kubernetes name: lower-case letters, digits and hyphens, at most 63."
  }
}

variable "deployers_group" {
  description = "Kubernetes group of the deploy stage: the chart's deployers.group."
  type        = string
  default     = "post-service:deployers"
  nullable    = false

  validation {
    condition     = length(var.deployers_group) > 0 && !startswith(var.deployers_group, "system:") && !startswith(var.deployers_group, "eks:")
    error_message = "deployers_group must be the group of the chart's value deployers.group; EKS allows none that begins with system: or eks:."
  }
}

variable "vpc" {
  description = "For a cluster whose endpoint is private: the VPC, private subnets with a way to AWS (NAT gateway or endpoints), and the cluster's security group, which is then opened to the deploy stage on 443 (null: do so yourself). null: the deploy stage runs outside of any VPC."
  type = object({
    id                        = string
    subnet_ids                = list(string)
    cluster_security_group_id = optional(string)
  })
  default = null

  validation {
    condition = var.vpc == null || try(
      startswith(var.vpc.id, "vpc-") && length(var.vpc.subnet_ids) > 0 && alltrue([for id in var.vpc.subnet_ids : startswith(id, "subnet-")]),
      false,
    )
    error_message = "vpc needs id (vpc-…) and at least one of subnet_ids (subnet-…)."
  }
}

variable "log_retention_days" {
  description = "Days that CloudWatch keeps the logs of builds and deployments."
  type        = number
  default     = 365
  nullable    = false

  validation {
    condition     = contains([1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653], var.log_retention_days)
    error_message = "log_retention_days must be a number that CloudWatch knows: 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288 or 3653."
  }
}

variable "artifact_retention_days" {
  description = "Days that artifacts are kept. A deployment can be rolled back to an execution only while its artifact is there."
  type        = number
  default     = 365
  nullable    = false

  validation {
    condition     = var.artifact_retention_days >= 30 && var.artifact_retention_days == floor(var.artifact_retention_days)
    error_message = "artifact_retention_days must be a whole number of at least 30: rolling back needs the artifacts of an older execution."
  }
}

variable "access_log_bucket" {
  description = "Name of a bucket for the access log of the artifact bucket; null: none is written."
  type        = string
  default     = null
}
