# The pipeline itself: source → build → (approval) → deploy. Projects and roles are in build.tf and
# deploy.tf, the bucket between them in artifacts.tf.

# GitHub gives its consent to a person only: Pending until somebody confirms it in the console.
resource "aws_codeconnections_connection" "github" {
  count = var.connection_arn == null ? 1 : 0

  name          = var.name
  provider_type = "GitHub"
}

resource "aws_codepipeline" "this" {
  name           = var.name
  role_arn       = aws_iam_role.pipeline.arn
  pipeline_type  = "V2"
  execution_mode = var.execution_mode

  artifact_store {
    location = aws_s3_bucket.artifacts.bucket
    type     = "S3"

    encryption_key {
      id   = var.kms_key_arn
      type = "KMS"
    }
  }

  stage {
    name = "Source"

    action {
      name             = "Source"
      namespace        = "Source"
      category         = "Source"
      owner            = "AWS"
      provider         = "CodeStarSourceConnection"
      version          = "1"
      output_artifacts = ["source"]

      configuration = {
        ConnectionArn        = local.connection
        FullRepositoryId     = var.repository
        BranchName           = var.branch
        OutputArtifactFormat = "CODE_ZIP"
        DetectChanges        = "true"
      }
    }
  }

  stage {
    name = "Build"

    action {
      name             = "Build"
      namespace        = "Build"
      category         = "Build"
      owner            = "AWS"
      provider         = "CodeBuild"
      version          = "1"
      input_artifacts  = ["source"]
      output_artifacts = ["build"]

      configuration = {
        ProjectName = aws_codebuild_project.build.name
      }
    }
  }

  dynamic "stage" {
    for_each = var.approval[*]

    content {
      name = "Approval"

      action {
        name     = "Approval"
        category = "Approval"
        owner    = "AWS"
        provider = "Manual"
        version  = "1"

        configuration = merge(
          { CustomData = "Deploy #{Build.IMAGE_TAG} to ${var.namespace}/${var.post_service} on ${var.cluster_name}?" },
          stage.value.notification_topic_arn == null ? {} : { NotificationArn = stage.value.notification_topic_arn },
        )
      }
    }
  }

  stage {
    name = "Deploy"

    # Puts the tag of the last good execution back into the PostService. By then the operator has undone
    # what it saw fail, but not a rollout that was not decided in time: that one ends here. The first
    # execution has none before it: it just fails.
    on_failure {
      result = "ROLLBACK"
    }

    action {
      name            = "Deploy"
      namespace       = "Deploy"
      category        = "Build"
      owner           = "AWS"
      provider        = "CodeBuild"
      version         = "1"
      input_artifacts = ["build"]

      configuration = {
        ProjectName = aws_codebuild_project.deploy.name
        EnvironmentVariables = jsonencode([
          { name = "IMAGE_TAG", value = "#{Build.IMAGE_TAG}", type = "PLAINTEXT" },
          { name = "IMAGE_DIGEST", value = "#{Build.IMAGE_DIGEST}", type = "PLAINTEXT" },
        ])
      }
    }
  }

  # Creation starts the first execution.
  depends_on = [
    aws_eks_access_entry.deploy,
    aws_iam_role_policy.build,
    aws_iam_role_policy.connection,
    aws_iam_role_policy.pipeline,
    aws_s3_bucket_policy.artifacts,
    aws_s3_bucket_server_side_encryption_configuration.artifacts,
  ]
}

resource "aws_iam_role" "pipeline" {
  name                 = "${var.name}-pipeline"
  description          = "CodePipeline ${var.name}"
  assume_role_policy   = data.aws_iam_policy_document.assume_pipeline.json
  permissions_boundary = var.permissions_boundary_arn
}

# Without the conditions that the projects' roles have: AWS does not document aws:SourceArn and
# aws:SourceAccount for CodePipeline. Nobody can pass a role of this account to a pipeline of another one.
data "aws_iam_policy_document" "assume_pipeline" {
  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["codepipeline.amazonaws.com"]
    }
  }
}

resource "aws_iam_role_policy" "pipeline" {
  name   = "pipeline"
  role   = aws_iam_role.pipeline.id
  policy = data.aws_iam_policy_document.pipeline.json
}

data "aws_iam_policy_document" "pipeline" {
  source_policy_documents = [data.aws_iam_policy_document.write_artifacts.json]

  # The source action writes with an ACL, which the bucket takes and forgets: it knows only its owner.
  statement {
    sid       = "SourceWithAcl"
    actions   = ["s3:PutObjectAcl"]
    resources = ["${local.bucket_arn}/*"]
  }

  statement {
    sid       = "Projects"
    actions   = ["codebuild:BatchGetBuilds", "codebuild:StartBuild", "codebuild:StopBuild"]
    resources = [local.build_arn, local.deploy_arn]
  }

  dynamic "statement" {
    for_each = compact([try(var.approval.notification_topic_arn, null)])

    content {
      sid       = "AskForApproval"
      actions   = ["sns:Publish"]
      resources = [statement.value]
    }
  }
}

resource "aws_iam_role_policy" "connection" {
  name   = "connection"
  role   = aws_iam_role.pipeline.id
  policy = data.aws_iam_policy_document.connection.json
}

# On its own, since the ARN of a new connection is not known to a plan. The action has the service's old
# name for connections that were made under it.
data "aws_iam_policy_document" "connection" {
  statement {
    sid       = "Source"
    actions   = ["codeconnections:UseConnection", "codestar-connections:UseConnection"]
    resources = [local.connection]
  }
}
