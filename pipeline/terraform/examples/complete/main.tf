# A root module that can be applied as it is: the variables that have no default are all that it asks for.

module "post_service" {
  source = "../.."

  name                     = var.name
  repository               = var.repository
  branch                   = var.branch
  service_repository_name  = var.service_repository_name
  operator_repository_name = var.operator_repository_name
  cluster_name             = var.cluster_name
  approval                 = var.approval
  vpc                      = var.vpc
  images                   = var.images
  images_cdn               = var.images_cdn
  cognito                  = var.cognito
  architecture             = var.architecture
}
