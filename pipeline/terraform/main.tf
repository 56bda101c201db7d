# All of the pipeline in one module, for a platform team to include; it configures no provider and no
# backend. Its parts are modules of their own, since teams differ in what they have already: registry and
# key are often given, and roles of pods are often made elsewhere. examples/complete is a root module that
# can be applied as it is.

data "aws_caller_identity" "current" {}
data "aws_partition" "current" {}
data "aws_region" "current" {}

locals {
  aws = {
    partition  = data.aws_partition.current.partition
    region     = data.aws_region.current.name
    account_id = data.aws_caller_identity.current.account_id
  }
  kms_key_arn = var.kms_key_arn == null ? one(module.encryption[*].key_arn) : var.kms_key_arn
}

module "encryption" {
  source = "./modules/encryption"
  count  = var.kms_key_arn == null ? 1 : 0

  aws                = local.aws
  name               = var.name
  log_group_prefixes = ["/aws/codebuild/${var.name}-"]
}

module "registry" {
  source = "./modules/registry"

  repository_names     = [var.service_repository_name, var.operator_repository_name]
  kms_key_arn          = local.kms_key_arn
  keep_images          = var.keep_images
  keep_deployed_images = var.keep_deployed_images
  untagged_days        = var.untagged_days
}

module "events" {
  source = "./modules/events"

  aws              = local.aws
  name             = var.name
  repository_names = [var.service_repository_name]
}

module "pipeline" {
  source = "./modules/pipeline"

  aws                      = local.aws
  name                     = var.name
  kms_key_arn              = local.kms_key_arn
  permissions_boundary_arn = var.permissions_boundary_arn

  repository     = var.repository
  branch         = var.branch
  connection_arn = var.connection_arn
  execution_mode = var.execution_mode
  approval       = var.approval

  service_repository = {
    name = var.service_repository_name
    url  = module.registry.repository_urls[var.service_repository_name]
  }
  operator_repository = {
    name = var.operator_repository_name
    url  = module.registry.repository_urls[var.operator_repository_name]
  }
  architecture          = var.architecture
  build_compute_type    = var.build_compute_type
  build_timeout_minutes = var.build_timeout_minutes

  cluster_name           = var.cluster_name
  namespace              = var.namespace
  post_service           = var.post_service
  deployers_group        = var.deployers_group
  deploy_timeout_minutes = var.deploy_timeout_minutes
  vpc                    = var.vpc

  log_retention_days      = var.log_retention_days
  artifact_retention_days = var.artifact_retention_days
  access_log_bucket       = var.access_log_bucket
}

module "identities" {
  source = "./modules/identities"

  aws                      = local.aws
  name                     = var.name
  cluster_name             = var.cluster_name
  permissions_boundary_arn = var.permissions_boundary_arn
  pod_credentials          = var.pod_credentials
  oidc_provider_arn        = var.oidc_provider_arn

  operator = {
    namespace       = var.operator_namespace
    service_account = var.operator_release
  }
  service = {
    namespace       = var.namespace
    service_account = coalesce(var.service_account, var.post_service)
  }
  repository_names = [var.service_repository_name]
  queue_arn        = module.events.queue_arn
  images           = var.images
  cognito          = var.cognito
}

module "images_cdn" {
  source = "./modules/images-cdn"
  count  = var.images_cdn == null ? 0 : 1

  aws                      = local.aws
  name                     = var.name
  bucket                   = var.images.bucket
  prefix                   = var.images.prefix
  kms_key_arn              = var.images.kms_key_arn
  bucket_region            = var.images_cdn.bucket_region
  manage_bucket_policy     = var.images_cdn.manage_bucket_policy
  domain_names             = var.images_cdn.domain_names
  certificate_arn          = var.images_cdn.certificate_arn
  price_class              = var.images_cdn.price_class
  web_acl_arn              = var.images_cdn.web_acl_arn
  access_log_bucket_domain = var.images_cdn.access_log_bucket_domain
}
