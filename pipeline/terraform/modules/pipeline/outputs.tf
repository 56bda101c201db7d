output "name" {
  description = "Name of the pipeline."
  value       = aws_codepipeline.this.name
}

output "pipeline_url" {
  description = "The pipeline in the console."
  value       = "https://${var.aws.region}.console.aws.amazon.com/codesuite/codepipeline/pipelines/${var.name}/view?region=${var.aws.region}"
}

output "connection_arn" {
  description = "ARN of the connection to GitHub."
  value       = local.connection
}

output "connection_hint" {
  description = "What a person does once so that the pipeline can read the source."
  value = (var.connection_arn != null
    ? "Nothing to do, if the connection that you gave is Available."
  : "Open https://${var.aws.region}.console.aws.amazon.com/codesuite/settings/connections?region=${var.aws.region}, choose the pending connection ${var.name}, and Update pending connection.")
}

output "pipeline_role_arn" {
  description = "ARN of the pipeline's role."
  value       = aws_iam_role.pipeline.arn
}

output "build_role_arn" {
  description = "ARN of the build project's role."
  value       = aws_iam_role.build.arn
}

output "deploy_role_arn" {
  description = "ARN of the deploy project's role, which has the access entry."
  value       = aws_iam_role.deploy.arn
}

output "artifact_bucket" {
  description = "Name of the bucket of artifacts."
  value       = aws_s3_bucket.artifacts.bucket
}

output "log_groups" {
  description = "CloudWatch log groups of the build and the deploy stage."
  value = {
    build  = aws_cloudwatch_log_group.build.name
    deploy = aws_cloudwatch_log_group.deploy.name
  }
}

output "deploy_security_group_id" {
  description = "Security group of the deploy stage in the VPC; null without one."
  value       = one(aws_security_group.deploy[*].id)
}
