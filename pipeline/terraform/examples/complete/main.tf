# A root module that can be applied as it is: the variables that have no default are all that it asks for.

module "post_service" {
  source = "../.."

  name           = var.name
  repository     = var.repository
  branch         = var.branch
  connection_arn = var.connection_arn

  service_repository_name  = var.service_repository_name
  operator_repository_name = var.operator_repository_name
  keep_images              = var.keep_images
  keep_deployed_images     = var.keep_deployed_images
  untagged_days            = var.untagged_days
  kms_key_arn              = var.kms_key_arn

  architecture          = var.architecture
  build_compute_type    = var.build_compute_type
  build_timeout_minutes = var.build_timeout_minutes

  execution_mode         = var.execution_mode
  approval               = var.approval
  cluster_name           = var.cluster_name
  namespace              = var.namespace
  post_service           = var.post_service
  deployers_group        = var.deployers_group
  deploy_timeout_minutes = var.deploy_timeout_minutes
  vpc                    = var.vpc

  pod_credentials          = var.pod_credentials
  oidc_provider_arn        = var.oidc_provider_arn
  operator_namespace       = var.operator_namespace
  operator_release         = var.operator_release
  service_account          = var.service_account
  images                   = var.images
  cognito                  = var.cognito
  permissions_boundary_arn = var.permissions_boundary_arn

  log_retention_days      = var.log_retention_days
  artifact_retention_days = var.artifact_retention_days
  access_log_bucket       = var.access_log_bucket

  images_cdn = var.images_cdn
}
