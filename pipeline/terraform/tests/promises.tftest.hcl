# What this module promises, read from its plan. Nothing is asked of AWS: the provider has no credentials,
# and needs none to plan what does not exist yet. It is the real provider and not a mock of it, because a
# mock makes the JSON of policies up.

provider "aws" {
  region                      = "ap-northeast-2"
  access_key                  = "none"
  secret_key                  = "none"
  skip_credentials_validation = true
  skip_metadata_api_check     = true
  skip_requesting_account_id  = true
}

override_data {
  target = data.aws_caller_identity.current
  values = {
    account_id = "123456789012"
  }
}

# What several of the modules below are given.
variables {
  name                = "board"
  repository          = "example/post-service"
  cluster_name        = "board"
  namespace           = "post-service"
  post_service        = "post-service"
  aws                 = { partition = "aws", region = "ap-northeast-2", account_id = "123456789012" }
  service_repository  = { name = "post-service", url = "123456789012.dkr.ecr.ap-northeast-2.amazonaws.com/post-service" }
  operator_repository = { name = "post-operator", url = "123456789012.dkr.ecr.ap-northeast-2.amazonaws.com/post-operator" }
  operator            = { namespace = "post-operator-system", service_account = "post-operator" }
  service             = { namespace = "post-service", service_account = "post-service" }
  repository_names    = ["post-service"]
  queue_arn           = "arn:aws:sqs:ap-northeast-2:123456789012:board-image-events"
  kms_key_arn         = "arn:aws:kms:ap-northeast-2:123456789012:key/00000000-0000-0000-0000-000000000000"
}

run "images_are_immutable_scanned_and_encrypted" {
  command = plan

  module {
    source = "./modules/registry"
  }

  variables {
    repository_names = ["post-service", "post-operator"]
  }

  assert {
    condition     = alltrue([for r in aws_ecr_repository.this : r.image_tag_mutability == "IMMUTABLE"]) && length(aws_ecr_repository.this) == 2
    error_message = "a tag could be moved to another image"
  }

  assert {
    condition     = alltrue([for r in aws_ecr_repository.this : r.image_scanning_configuration[0].scan_on_push])
    error_message = "images are not scanned when they are pushed"
  }

  assert {
    condition     = alltrue([for r in aws_ecr_repository.this : r.encryption_configuration[0].encryption_type == "KMS" && r.encryption_configuration[0].kms_key == var.kms_key_arn])
    error_message = "images are not encrypted with the key"
  }

  assert {
    condition     = alltrue([for r in aws_ecr_repository.this : !r.force_delete])
    error_message = "a repository would be deleted with its images"
  }
}

run "no_lifecycle_rule_takes_what_is_deployed_or_recent" {
  command = plan

  module {
    source = "./modules/registry"
  }

  variables {
    keep_images = 80
  }

  assert {
    condition     = jsondecode(aws_ecr_lifecycle_policy.this["post-service"].policy).rules[0].selection.tagPrefixList == ["deployed-"]
    error_message = "the first rule must be that of deployed images: only it exempts them from the others"
  }

  assert {
    condition     = [for r in jsondecode(aws_ecr_lifecycle_policy.this["post-service"].policy).rules : r.rulePriority] == [1, 2, 3]
    error_message = "priorities are not in order"
  }

  assert {
    condition = alltrue([
      for r in jsondecode(aws_ecr_lifecycle_policy.this["post-service"].policy).rules :
      r.selection.tagStatus == "untagged" || (r.selection.tagStatus == "tagged" && r.selection.countType == "imageCountMoreThan" && r.selection.countNumber >= 50)
    ])
    error_message = "a rule takes tagged images by age, or keeps fewer than 50 of them"
  }
}

run "so_few_images_that_recent_ones_would_go_are_refused" {
  command = plan

  variables {
    keep_images = 5
  }

  expect_failures = [var.keep_images]
}

run "a_commit_waits_for_the_one_before_it" {
  command = plan

  module {
    source = "./modules/pipeline"
  }

  assert {
    condition     = aws_codepipeline.this.pipeline_type == "V2" && aws_codepipeline.this.execution_mode == "QUEUED"
    error_message = "the pipeline is not V2, or two executions could overtake each other"
  }

  assert {
    condition     = [for s in aws_codepipeline.this.stage : s.name] == ["Source", "Build", "Deploy"]
    error_message = "stages are not source, build, deploy"
  }

  assert {
    condition     = one([for s in aws_codepipeline.this.stage : s.on_failure[0].result if s.name == "Deploy"]) == "ROLLBACK"
    error_message = "a deploy stage that fails is not rolled back"
  }

  assert {
    condition     = [for v in jsondecode(aws_codepipeline.this.stage[2].action[0].configuration.EnvironmentVariables) : v.value] == ["#{Build.IMAGE_TAG}", "#{Build.IMAGE_DIGEST}"]
    error_message = "the deploy stage is not told which image was built"
  }

}

run "the_deploy_stage_is_a_deployer_and_nothing_else" {
  command = plan

  module {
    source = "./modules/pipeline"
  }

  assert {
    condition     = aws_codebuild_project.build.environment[0].privileged_mode && !aws_codebuild_project.deploy.environment[0].privileged_mode
    error_message = "only the build needs Docker"
  }

  assert {
    condition     = var.deploy_timeout_minutes >= 31.25
    error_message = "the stage would give up before a PostService of default settings does"
  }

  assert {
    condition     = aws_codebuild_project.deploy.build_timeout > var.deploy_timeout_minutes
    error_message = "CodeBuild would end before the verdict TimedOut"
  }

  assert {
    condition     = aws_eks_access_entry.deploy.kubernetes_groups == toset(["post-service:deployers"]) && aws_eks_access_entry.deploy.type == "STANDARD"
    error_message = "the deploy stage is not in the group that the chart's role is for, or in further ones"
  }

  assert {
    condition     = length(aws_codebuild_project.deploy.vpc_config) == 0 && length(aws_iam_role_policy.network) == 0
    error_message = "without a VPC nobody needs network interfaces"
  }

  assert {
    condition     = aws_cloudwatch_log_group.build.retention_in_days == 365 && aws_cloudwatch_log_group.deploy.retention_in_days == 365
    error_message = "logs are not kept for a year"
  }
}

run "artifacts_are_private_versioned_encrypted_and_moved_by_tls_only" {
  command = plan

  module {
    source = "./modules/pipeline"
  }

  assert {
    condition     = aws_s3_bucket_versioning.artifacts.versioning_configuration[0].status == "Enabled"
    error_message = "the bucket is not versioned: CodePipeline needs it"
  }

  assert {
    condition = alltrue([
      aws_s3_bucket_public_access_block.artifacts.block_public_acls,
      aws_s3_bucket_public_access_block.artifacts.block_public_policy,
      aws_s3_bucket_public_access_block.artifacts.ignore_public_acls,
      aws_s3_bucket_public_access_block.artifacts.restrict_public_buckets,
    ])
    error_message = "the bucket could be made public"
  }

  assert {
    condition = alltrue([
      for r in aws_s3_bucket_server_side_encryption_configuration.artifacts.rule :
      r.apply_server_side_encryption_by_default[0].sse_algorithm == "aws:kms" && r.apply_server_side_encryption_by_default[0].kms_master_key_id == var.kms_key_arn
    ])
    error_message = "artifacts are not encrypted with the key"
  }

  assert {
    condition = anytrue([
      for s in jsondecode(aws_s3_bucket_policy.artifacts.policy).Statement :
      s.Effect == "Deny" && s.Principal == "*" && s.Action == "s3:*" && try(s.Condition.Bool["aws:SecureTransport"], "") == "false"
      && toset(s.Resource) == toset(["arn:aws:s3:::board-artifacts-123456789012-ap-northeast-2", "arn:aws:s3:::board-artifacts-123456789012-ap-northeast-2/*"])
    ])
    error_message = "the bucket can be used without TLS"
  }
}

run "each_stage_may_do_what_it_must_and_no_more" {
  command = plan

  module {
    source = "./modules/pipeline"
  }

  assert {
    condition = alltrue(flatten([
      for json in [
        data.aws_iam_policy_document.pipeline.json,
        data.aws_iam_policy_document.build.json,
        data.aws_iam_policy_document.deploy.json,
        ] : [
        for s in jsondecode(json).Statement :
        alltrue([for a in flatten([s.Action]) : !endswith(a, ":*") && a != "*"])
      ]
    ]))
    error_message = "a role may do everything of a service"
  }

  assert {
    condition = flatten([
      for json in [
        data.aws_iam_policy_document.pipeline.json,
        data.aws_iam_policy_document.build.json,
        data.aws_iam_policy_document.deploy.json,
      ] : [for s in jsondecode(json).Statement : flatten([s.Action]) if contains(flatten([s.Resource]), "*")]
    ]) == ["ecr:GetAuthorizationToken"]
    error_message = "only logging in to ECR may have the resource *"
  }

  assert {
    condition = alltrue([
      for json, arn in {
        (data.aws_iam_policy_document.assume_build.json)  = "arn:aws:codebuild:ap-northeast-2:123456789012:project/board-build"
        (data.aws_iam_policy_document.assume_deploy.json) = "arn:aws:codebuild:ap-northeast-2:123456789012:project/board-deploy"
      } :
      jsondecode(json).Statement[0].Condition.ArnEquals["aws:SourceArn"] == arn
      && jsondecode(json).Statement[0].Condition.StringEquals["aws:SourceAccount"] == "123456789012"
    ])
    error_message = "a role can be assumed for something other than what it is for"
  }

  assert {
    condition     = [for s in jsondecode(data.aws_iam_policy_document.assume_pipeline.json).Statement : s.Principal] == [{ Service = "codepipeline.amazonaws.com" }]
    error_message = "somebody else than CodePipeline can have the pipeline's role"
  }

  assert {
    condition = toset(flatten([
      for s in jsondecode(data.aws_iam_policy_document.deploy.json).Statement : s.Action if startswith(flatten([s.Action])[0], "ecr:") || startswith(flatten([s.Action])[0], "eks:")
    ])) == toset(["ecr:BatchGetImage", "ecr:PutImage", "eks:DescribeCluster"])
    error_message = "the deploy stage has more rights in ECR and EKS than it needs, or fewer"
  }
}

run "parallel_executions_are_refused" {
  command = plan

  variables {
    execution_mode = "PARALLEL"
  }

  expect_failures = [var.execution_mode]
}

run "a_person_approves_and_a_private_cluster_is_reached" {
  command = plan

  module {
    source = "./modules/pipeline"
  }

  variables {
    execution_mode = "SUPERSEDED"
    architecture   = "arm64"
    approval       = {}
    connection_arn = "arn:aws:codeconnections:ap-northeast-2:123456789012:connection/00000000-0000-0000-0000-000000000000"
    vpc = {
      id                        = "vpc-1"
      subnet_ids                = ["subnet-1", "subnet-2"]
      cluster_security_group_id = "sg-1"
    }
  }

  assert {
    condition     = [for s in aws_codepipeline.this.stage : s.name] == ["Source", "Build", "Approval", "Deploy"]
    error_message = "nobody is asked before the deployment"
  }

  assert {
    condition     = aws_codebuild_project.build.environment[0].type == "ARM_CONTAINER" && aws_codebuild_project.deploy.environment[0].type == "ARM_CONTAINER"
    error_message = "images for ARM are not built on ARM"
  }

  assert {
    condition     = length(aws_codeconnections_connection.github) == 0 && jsondecode(data.aws_iam_policy_document.connection.json).Statement[0].Resource == var.connection_arn
    error_message = "the connection that is there is not used"
  }

  assert {
    condition     = aws_codebuild_project.deploy.vpc_config[0].vpc_id == "vpc-1" && aws_vpc_security_group_ingress_rule.cluster[0].from_port == 443
    error_message = "the deploy stage does not reach the private cluster"
  }

  assert {
    condition = alltrue([
      for s in jsondecode(data.aws_iam_policy_document.network[0].json).Statement :
      s.Resource != "*" || alltrue([for a in flatten([s.Action]) : startswith(a, "ec2:Describe")])
    ])
    error_message = "something other than looking has the resource *"
  }

  assert {
    condition = alltrue([
      for s in jsondecode(data.aws_iam_policy_document.network[0].json).Statement :
      toset(s.Condition.ArnEquals["ec2:Subnet"]) == toset(["arn:aws:ec2:ap-northeast-2:123456789012:subnet/subnet-1", "arn:aws:ec2:ap-northeast-2:123456789012:subnet/subnet-2"])
      if s.Sid == "RemoveInterface" || s.Sid == "LendInterface"
    ])
    error_message = "interfaces of other subnets can be removed or lent"
  }
}

run "the_operator_has_the_rights_of_its_manual_and_no_others" {
  command = plan

  module {
    source = "./modules/identities"
  }

  variables {
    images  = { bucket = "post-images" }
    cognito = { user_pool_id = "ap-northeast-2_AbCdEfGhI" }
  }

  assert {
    condition = { for s in jsondecode(data.aws_iam_policy_document.operator.json).Statement : s.Sid => [toset(flatten([s.Action])), s.Resource] } == {
      Images = [toset(["ecr:DescribeImages"]), "arn:aws:ecr:ap-northeast-2:123456789012:repository/post-service"]
      Lifecycle = [
        toset(["ecr:GetLifecyclePolicy", "ecr:StartLifecyclePolicyPreview", "ecr:GetLifecyclePolicyPreview"]),
        "arn:aws:ecr:ap-northeast-2:123456789012:repository/post-service",
      ]
      PushEvents = [toset(["sqs:ReceiveMessage", "sqs:DeleteMessage"]), "arn:aws:sqs:ap-northeast-2:123456789012:board-image-events"]
    }
    error_message = "the operator's rights are not those of docs/operations.md"
  }

  assert {
    condition = { for s in jsondecode(data.aws_iam_policy_document.service.json).Statement : s.Sid => [toset(flatten([s.Action])), s.Resource] } == {
      UploadedImages    = [toset(["s3:DeleteObject", "s3:GetObject", "s3:PutObject"]), "arn:aws:s3:::post-images/image_files/*"]
      TellMissingImages = [toset(["s3:ListBucket"]), "arn:aws:s3:::post-images"]
      CloseAccounts = [
        toset(["cognito-idp:AdminDeleteUser", "cognito-idp:AdminUserGlobalSignOut"]),
        "arn:aws:cognito-idp:ap-northeast-2:123456789012:userpool/ap-northeast-2_AbCdEfGhI",
      ]
    }
    error_message = "the service's rights are not those that it uses"
  }

  assert {
    condition = alltrue([
      for name, account in { operator = var.operator, service = var.service } :
      jsondecode(data.aws_iam_policy_document.assume[name].json).Statement[0].Condition.StringEquals == {
        "aws:SourceAccount"                         = "123456789012"
        "aws:RequestTag/eks-cluster-arn"            = "arn:aws:eks:ap-northeast-2:123456789012:cluster/board"
        "aws:RequestTag/kubernetes-namespace"       = account.namespace
        "aws:RequestTag/kubernetes-service-account" = account.service_account
      }
    ])
    error_message = "another pod could get the role"
  }
}

run "accounts_that_are_only_disabled_cannot_be_deleted_and_irsa_names_the_service_account" {
  command = plan

  module {
    source = "./modules/identities"
  }

  variables {
    repository_names  = ["post-service"]
    pod_credentials   = "irsa"
    oidc_provider_arn = "arn:aws:iam::123456789012:oidc-provider/oidc.eks.ap-northeast-2.amazonaws.com/id/0123456789ABCDEF"
    cognito           = { user_pool_id = "us-east-1_AbCdEfGhI", deactivation = "Disable" }
  }

  assert {
    condition = { for s in jsondecode(data.aws_iam_policy_document.service.json).Statement : s.Sid => [toset(s.Action), s.Resource] } == {
      CloseAccounts = [
        toset(["cognito-idp:AdminDisableUser", "cognito-idp:AdminUserGlobalSignOut"]),
        "arn:aws:cognito-idp:us-east-1:123456789012:userpool/us-east-1_AbCdEfGhI",
      ]
    }
    error_message = "the service may delete accounts that it only disables, or more"
  }

  assert {
    condition = jsondecode(data.aws_iam_policy_document.assume["service"].json).Statement[0].Condition.StringEquals == {
      "oidc.eks.ap-northeast-2.amazonaws.com/id/0123456789ABCDEF:aud" = "sts.amazonaws.com"
      "oidc.eks.ap-northeast-2.amazonaws.com/id/0123456789ABCDEF:sub" = "system:serviceaccount:post-service:post-service"
    }
    error_message = "another service account could get the role"
  }

  assert {
    condition     = length(aws_eks_pod_identity_association.this) == 0
    error_message = "irsa needs no associations"
  }
}

run "only_the_rule_writes_to_the_queue" {
  command = plan

  module {
    source = "./modules/events"
  }

  assert {
    condition     = aws_sqs_queue.this.sqs_managed_sse_enabled
    error_message = "the queue is not encrypted"
  }

  assert {
    condition = [for s in jsondecode(data.aws_iam_policy_document.queue.json).Statement : s if s.Effect == "Allow"] == [{
      Sid       = "FromTheRule"
      Effect    = "Allow"
      Action    = "sqs:SendMessage"
      Resource  = "arn:aws:sqs:ap-northeast-2:123456789012:board-image-events"
      Principal = { Service = "events.amazonaws.com" }
      Condition = {
        ArnEquals    = { "aws:SourceArn" = "arn:aws:events:ap-northeast-2:123456789012:rule/board-image-events" }
        StringEquals = { "aws:SourceAccount" = "123456789012" }
      }
    }]
    error_message = "somebody else may write to the queue"
  }

  assert {
    condition     = jsondecode(aws_cloudwatch_event_rule.this.event_pattern).detail == { "action-type" = ["PUSH", "DELETE"], "repository-name" = ["post-service"] }
    error_message = "the rule does not match pushes and deletions of the repository only"
  }
}

run "only_account_and_logs_use_the_key_that_is_made" {
  command = plan

  module {
    source = "./modules/encryption"
  }

  variables {
    log_group_prefixes = ["/aws/codebuild/board-"]
  }

  assert {
    condition     = aws_kms_key.this.enable_key_rotation
    error_message = "the key is never rotated"
  }

  assert {
    condition     = [for s in jsondecode(aws_kms_key.this.policy).Statement : s.Principal] == [{ AWS = "arn:aws:iam::123456789012:root" }, { Service = "logs.ap-northeast-2.amazonaws.com" }]
    error_message = "somebody else may use the key"
  }

  assert {
    condition     = jsondecode(aws_kms_key.this.policy).Statement[1].Condition.ArnLike["kms:EncryptionContext:aws:logs:arn"] == "arn:aws:logs:ap-northeast-2:123456789012:log-group:/aws/codebuild/board-*"
    error_message = "other log groups may use the key"
  }
}

run "cloudfront_without_a_bucket_is_refused" {
  command = plan

  variables {
    images_cdn = {}
  }

  expect_failures = [var.images_cdn]
}

run "the_parts_fit_together" {
  command = plan

  variables {
    kms_key_arn = null
    images      = { bucket = "post-images" }
    images_cdn  = {}
    cognito     = { user_pool_id = "ap-northeast-2_AbCdEfGhI" }
  }

  assert {
    condition     = module.events.queue_arn == "arn:aws:sqs:ap-northeast-2:123456789012:board-image-events"
    error_message = "the queue is not named by the module's name"
  }
}
