resource "aws_cloudwatch_log_group" "build" {
  # checkov:skip=CKV_AWS_338:A year by default; log_retention_days may say less
  name              = "/aws/codebuild/${local.build_name}"
  retention_in_days = var.log_retention_days
  kms_key_id        = var.kms_key_arn
}

resource "aws_codebuild_project" "build" {
  # checkov:skip=CKV_AWS_316:It builds images by a Docker daemon of its own, which needs this; the machine is new for each build and its role can do no more than push the images
  name           = local.build_name
  description    = "Tests a commit and pushes its images"
  service_role   = aws_iam_role.build.arn
  encryption_key = var.kms_key_arn
  build_timeout  = var.build_timeout_minutes

  source {
    type      = "CODEPIPELINE"
    buildspec = "pipeline/buildspec.yml"
  }

  artifacts {
    type = "CODEPIPELINE"
  }

  # Kept by a machine for its next build, if there is one soon: layers, and what buildspec.yml caches.
  cache {
    type  = "LOCAL"
    modes = ["LOCAL_DOCKER_LAYER_CACHE", "LOCAL_CUSTOM_CACHE"]
  }

  environment {
    type            = local.build_machine
    image           = local.build_image
    compute_type    = var.build_compute_type
    privileged_mode = true

    environment_variable {
      name  = "SERVICE_REPOSITORY"
      value = var.service_repository.url
    }

    environment_variable {
      name  = "OPERATOR_REPOSITORY"
      value = var.operator_repository.url
    }

    environment_variable {
      name  = "PLATFORM"
      value = "linux/${var.architecture}"
    }

    environment_variable {
      name  = "SOURCE_URL"
      value = "https://github.com/${var.repository}"
    }
  }

  logs_config {
    cloudwatch_logs {
      group_name = aws_cloudwatch_log_group.build.name
    }
  }
}

resource "aws_iam_role" "build" {
  name                 = local.build_name
  description          = "CodeBuild: tests a commit and pushes its images"
  assume_role_policy   = data.aws_iam_policy_document.assume_build.json
  permissions_boundary = var.permissions_boundary_arn
}

data "aws_iam_policy_document" "assume_build" {
  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["codebuild.amazonaws.com"]
    }

    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [var.aws.account_id]
    }

    condition {
      test     = "ArnEquals"
      variable = "aws:SourceArn"
      values   = [local.build_arn]
    }
  }
}

resource "aws_iam_role_policy" "build" {
  name   = "build"
  role   = aws_iam_role.build.id
  policy = data.aws_iam_policy_document.build.json
}

data "aws_iam_policy_document" "build" {
  source_policy_documents = [data.aws_iam_policy_document.write_artifacts.json]

  statement {
    sid       = "Logs"
    actions   = ["logs:CreateLogStream", "logs:PutLogEvents"]
    resources = ["${local.log_groups}:/aws/codebuild/${local.build_name}:*"]
  }

  # A token is the registry's, which is the account's: ECR knows no narrower resource for it. What it
  # opens is said below.
  statement {
    sid       = "RegistryLogin"
    actions   = ["ecr:GetAuthorizationToken"]
    resources = ["*"]
  }

  statement {
    sid = "PushImages"
    actions = [
      "ecr:BatchCheckLayerAvailability",
      "ecr:BatchGetImage",
      "ecr:CompleteLayerUpload",
      "ecr:GetDownloadUrlForLayer",
      "ecr:InitiateLayerUpload",
      "ecr:PutImage",
      "ecr:UploadLayerPart",
    ]
    resources = [local.service_arn, local.operator_arn]
  }
}
