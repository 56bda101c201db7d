output "repository_urls" {
  description = "URIs of the ECR repositories, by name."
  value       = module.registry.repository_urls
}

output "connection_arn" {
  description = "ARN of the connection to GitHub."
  value       = module.pipeline.connection_arn
}

output "connection_hint" {
  description = "What a person does once so that the pipeline can read the source."
  value       = module.pipeline.connection_hint
}

output "pipeline_name" {
  description = "Name of the pipeline."
  value       = module.pipeline.name
}

output "pipeline_url" {
  description = "The pipeline in the console."
  value       = module.pipeline.pipeline_url
}

output "queue_url" {
  description = "URL of the queue of push events."
  value       = module.events.queue_url
}

output "helm_values" {
  description = "Values of charts/post-operator, as YAML; the image's tag is yours to choose."
  value = yamlencode({
    image          = { repository = module.registry.repository_urls[var.operator_repository_name] }
    eventsQueueUrl = module.events.queue_url
    serviceAccount = { annotations = module.identities.operator_annotations }
    deployers      = { enabled = true, group = var.deployers_group }
  })
}

output "post_service" {
  description = "Fields of the PostService that follow from all this, as YAML. Its first tag, `none`, waits for the first deployment."
  value = yamlencode({
    apiVersion = "platform.hhottdogg.shop/v1alpha1"
    kind       = "PostService"
    metadata   = { name = var.post_service, namespace = var.namespace }
    spec = merge(
      {
        image = {
          repository = module.registry.repository_urls[var.service_repository_name]
          tag        = "none"
        }
        serviceAccount = merge(
          { annotations = module.identities.service_annotations },
          var.service_account == null ? {} : { name = var.service_account },
        )
      },
      var.images == null ? {} : {
        media = merge(
          { bucket = var.images.bucket, prefix = var.images.prefix },
          var.images_cdn == null ? {} : { publicBaseUrl = one(module.images_cdn[*].public_base_url) },
        )
      },
      var.cognito == null ? {} : { auth = { deactivation = var.cognito.deactivation } },
    )
  })
}

output "role_arns" {
  description = "ARNs of the roles: pipeline, build, deploy, operator, service (null if its pods need none)."
  value = {
    pipeline = module.pipeline.pipeline_role_arn
    build    = module.pipeline.build_role_arn
    deploy   = module.pipeline.deploy_role_arn
    operator = module.identities.operator_role_arn
    service  = module.identities.service_role_arn
  }
}

output "artifact_bucket" {
  description = "Name of the bucket of artifacts."
  value       = module.pipeline.artifact_bucket
}

output "log_groups" {
  description = "CloudWatch log groups of the build and the deploy stage."
  value       = module.pipeline.log_groups
}

output "deploy_security_group_id" {
  description = "Security group of the deploy stage; null without vpc. Where vpc.cluster_security_group_id is not given, let it into the cluster's group on 443."
  value       = module.pipeline.deploy_security_group_id
}

output "images_cdn" {
  description = "CloudFront: domain_name, public_base_url, distribution_id, bucket_policy and key_policy_statement; null without images_cdn."
  value       = one(module.images_cdn[*])
}
