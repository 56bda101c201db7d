# ARNs are put together from names: roles and what they serve name each other, and a plan shows whole
# policies before anything exists.
locals {
  arn           = "arn:${var.aws.partition}"
  here          = "${var.aws.region}:${var.aws.account_id}"
  build_name    = "${var.name}-build"
  deploy_name   = "${var.name}-deploy"
  build_arn     = "${local.arn}:codebuild:${local.here}:project/${local.build_name}"
  deploy_arn    = "${local.arn}:codebuild:${local.here}:project/${local.deploy_name}"
  bucket_name   = "${var.name}-artifacts-${var.aws.account_id}-${var.aws.region}"
  bucket_arn    = "${local.arn}:s3:::${local.bucket_name}"
  cluster_arn   = "${local.arn}:eks:${local.here}:cluster/${var.cluster_name}"
  log_groups    = "${local.arn}:logs:${local.here}:log-group"
  service_arn   = "${local.arn}:ecr:${local.here}:repository/${var.service_repository.name}"
  operator_arn  = "${local.arn}:ecr:${local.here}:repository/${var.operator_repository.name}"
  connection    = var.connection_arn == null ? one(aws_codeconnections_connection.github[*].arn) : var.connection_arn
  is_arm        = var.architecture == "arm64"
  build_image   = local.is_arm ? "aws/codebuild/amazonlinux-aarch64-standard:3.0" : "aws/codebuild/amazonlinux-x86_64-standard:5.0"
  build_machine = local.is_arm ? "ARM_CONTAINER" : "LINUX_CONTAINER"
}
