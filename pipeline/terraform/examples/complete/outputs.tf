# The module's own, passed on.

output "repository_urls" {
  description = "URIs of the ECR repositories, by name."
  value       = module.post_service.repository_urls
}

output "connection_arn" {
  description = "ARN of the connection to GitHub."
  value       = module.post_service.connection_arn
}

output "connection_hint" {
  description = "What a person does once so that the pipeline can read the source."
  value       = module.post_service.connection_hint
}

output "pipeline_name" {
  description = "Name of the pipeline."
  value       = module.post_service.pipeline_name
}

output "pipeline_url" {
  description = "The pipeline in the console."
  value       = module.post_service.pipeline_url
}

output "queue_url" {
  description = "URL of the queue of push events."
  value       = module.post_service.queue_url
}

output "helm_values" {
  description = "Values of charts/post-operator, as YAML; the image's tag is yours to choose."
  value       = module.post_service.helm_values
}

output "post_service" {
  description = "Fields of the PostService that follow from all this, as YAML. Its first tag, `none`, waits for the first deployment."
  value       = module.post_service.post_service
}

output "role_arns" {
  description = "ARNs of the roles: pipeline, build, deploy, operator, service (null if its pods need none)."
  value       = module.post_service.role_arns
}

output "artifact_bucket" {
  description = "Name of the bucket of artifacts."
  value       = module.post_service.artifact_bucket
}

output "log_groups" {
  description = "CloudWatch log groups of the build and the deploy stage."
  value       = module.post_service.log_groups
}

output "deploy_security_group_id" {
  description = "Security group of the deploy stage; null without vpc. Where vpc.cluster_security_group_id is not given, let it into the cluster's group on 443."
  value       = module.post_service.deploy_security_group_id
}

output "images_cdn" {
  description = "CloudFront: domain_name, public_base_url, distribution_id, bucket_policy and key_policy_statement; null without images_cdn."
  value       = module.post_service.images_cdn
}
