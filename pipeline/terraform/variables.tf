# The source

variable "name" {
  description = "What the names of all resources begin with."
  type        = string
  default     = "post-service"
  nullable    = false

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,22}[a-z0-9]$", var.name))
    error_message = "name must have 3 to 24 lower-case letters, digits and hyphens, begin with a letter and not end with a hyphen."
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
  description = "ARN of a connection to GitHub that is there already (not made in the same apply) and Available; null: one is made, and a person confirms it in the console."
  type        = string
  default     = null

  validation {
    condition     = var.connection_arn == null || can(regex("^arn:[^:]+:(codeconnections|codestar-connections):[^:]+:[0-9]{12}:connection/", var.connection_arn))
    error_message = "connection_arn must be the ARN of a CodeConnections connection, or null."
  }
}

# Images in ECR

variable "service_repository_name" {
  description = "Name of the ECR repository of the service's images."
  type        = string
  default     = "post-service"
  nullable    = false
}

variable "operator_repository_name" {
  description = "Name of the ECR repository of the operator's images."
  type        = string
  default     = "post-operator"
  nullable    = false
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

variable "kms_key_arn" {
  description = "ARN of a KMS key of yours for images, artifacts and logs; CloudWatch must be allowed to use it for the log groups /aws/codebuild/NAME-*. null: a key is made. ECR keeps the key that a repository was made with: another one is another repository."
  type        = string
  default     = null

  validation {
    condition     = var.kms_key_arn == null || can(regex("^arn:[^:]+:kms:[^:]+:[0-9]{12}:key/", var.kms_key_arn))
    error_message = "kms_key_arn must be the ARN of a key (arn:aws:kms:REGION:ACCOUNT:key/ID), not of an alias, or null."
  }
}

# Building

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

# Deploying

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
  default     = "post-service"
  nullable    = false

  validation {
    condition     = can(regex("^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$", var.namespace))
    error_message = "namespace must be a Kubernetes name: lower-case letters, digits and hyphens, at most 63."
  }
}

variable "post_service" {
  description = "Name of the PostService."
  type        = string
  default     = "post-service"
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

# Roles of pods

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

variable "operator_namespace" {
  description = "Kubernetes namespace of the operator."
  type        = string
  default     = "post-operator-system"
  nullable    = false

  validation {
    condition     = can(regex("^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$", var.operator_namespace))
    error_message = "operator_namespace must be a Kubernetes name: lower-case letters, digits and hyphens, at most 63."
  }
}

variable "operator_release" {
  description = "Name of the operator's Helm release, which is also that of its service account."
  type        = string
  default     = "post-operator"
  nullable    = false

  validation {
    condition     = can(regex("^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$", var.operator_release))
    error_message = "operator_release must be a Kubernetes name: lower-case letters, digits and hyphens, at most 63."
  }
}

variable "service_account" {
  description = "Name of the pods' service account (spec.serviceAccount.name); null: the PostService's."
  type        = string
  default     = null
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

variable "permissions_boundary_arn" {
  description = "ARN of the permissions boundary that every role gets; null: none."
  type        = string
  default     = null

  validation {
    condition     = var.permissions_boundary_arn == null || can(regex("^arn:[^:]+:iam::[^:]*:policy/", var.permissions_boundary_arn))
    error_message = "permissions_boundary_arn must be the ARN of an IAM policy, arn:aws:iam::ACCOUNT:policy/NAME, or null."
  }
}

# What is kept

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

# CloudFront

variable "images_cdn" {
  description = "Set it (also to {}) and CloudFront serves the uploaded images; see modules/images-cdn for each field. null: the service serves them itself."
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

  validation {
    condition     = var.images_cdn == null || var.images != null
    error_message = "images_cdn needs images: the bucket that CloudFront reads."
  }
}
