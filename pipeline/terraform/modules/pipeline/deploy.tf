resource "aws_cloudwatch_log_group" "deploy" {
  # checkov:skip=CKV_AWS_338:A year by default; log_retention_days may say less
  name              = "/aws/codebuild/${local.deploy_name}"
  retention_in_days = var.log_retention_days
  kms_key_id        = var.kms_key_arn
}

resource "aws_codebuild_project" "deploy" {
  name           = local.deploy_name
  description    = "Asks the operator for an image and waits for its verdict"
  service_role   = aws_iam_role.deploy.arn
  encryption_key = var.kms_key_arn
  # The verdict TimedOut comes before CodeBuild's own end, which would say nothing.
  build_timeout = var.deploy_timeout_minutes + 10

  source {
    type      = "CODEPIPELINE"
    buildspec = "buildspec-deploy.yml"
  }

  artifacts {
    type = "CODEPIPELINE"
  }

  environment {
    type            = local.build_machine
    image           = local.build_image
    compute_type    = "BUILD_GENERAL1_SMALL"
    privileged_mode = false

    environment_variable {
      name  = "CLUSTER_NAME"
      value = var.cluster_name
    }

    environment_variable {
      name  = "NAMESPACE"
      value = var.namespace
    }

    environment_variable {
      name  = "POST_SERVICE"
      value = var.post_service
    }

    environment_variable {
      name  = "SERVICE_REPOSITORY"
      value = var.service_repository.url
    }

    environment_variable {
      name  = "DEPLOY_TIMEOUT"
      value = "${var.deploy_timeout_minutes}m"
    }
  }

  logs_config {
    cloudwatch_logs {
      group_name = aws_cloudwatch_log_group.deploy.name
    }
  }

  dynamic "vpc_config" {
    for_each = var.vpc[*]

    content {
      vpc_id             = vpc_config.value.id
      subnets            = vpc_config.value.subnet_ids
      security_group_ids = aws_security_group.deploy[*].id
    }
  }

  # CodeBuild asks whether the role may make network interfaces when a project gets a VPC.
  depends_on = [aws_iam_role_policy.deploy, aws_iam_role_policy.network, aws_iam_role_policy.security_group]
}

resource "aws_iam_role" "deploy" {
  name                 = local.deploy_name
  description          = "CodeBuild: asks the operator for an image"
  assume_role_policy   = data.aws_iam_policy_document.assume_deploy.json
  permissions_boundary = var.permissions_boundary_arn
}

data "aws_iam_policy_document" "assume_deploy" {
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
      values   = [local.deploy_arn]
    }
  }
}

resource "aws_iam_role_policy" "deploy" {
  name   = "deploy"
  role   = aws_iam_role.deploy.id
  policy = data.aws_iam_policy_document.deploy.json
}

data "aws_iam_policy_document" "deploy" {
  source_policy_documents = [data.aws_iam_policy_document.read_artifacts.json]

  statement {
    sid       = "Logs"
    actions   = ["logs:CreateLogStream", "logs:PutLogEvents"]
    resources = ["${local.log_groups}:/aws/codebuild/${local.deploy_name}:*"]
  }

  statement {
    sid       = "Cluster"
    actions   = ["eks:DescribeCluster"]
    resources = [local.cluster_arn]
  }

  # The tag deployed-… of the image that serves.
  statement {
    sid       = "TagImage"
    actions   = ["ecr:BatchGetImage", "ecr:PutImage"]
    resources = [local.service_arn]
  }
}

# No access policy goes with it: the group's role in the chart, and its admission policy, are all that
# the deploy stage may do.
resource "aws_eks_access_entry" "deploy" {
  cluster_name      = var.cluster_name
  principal_arn     = aws_iam_role.deploy.arn
  kubernetes_groups = [var.deployers_group]
  type              = "STANDARD"
}
