# What the next step takes from here, with a mock of the provider: everything is "applied", nothing is made.

mock_provider "aws" {
  mock_data "aws_caller_identity" {
    defaults = {
      account_id = "123456789012"
    }
  }

  mock_data "aws_partition" {
    defaults = {
      partition = "aws"
    }
  }

  mock_data "aws_region" {
    defaults = {
      name = "ap-northeast-2"
    }
  }

  mock_data "aws_iam_policy_document" {
    defaults = {
      json = "{}"
    }
  }

  mock_resource "aws_ecr_repository" {
    defaults = {
      repository_url = "123456789012.dkr.ecr.ap-northeast-2.amazonaws.com/a-repository"
    }
  }

  mock_resource "aws_sqs_queue" {
    defaults = {
      url = "https://sqs.ap-northeast-2.amazonaws.com/123456789012/a-queue"
    }
  }

  mock_resource "aws_iam_role" {
    defaults = {
      arn = "arn:aws:iam::123456789012:role/a-role"
    }
  }

  mock_resource "aws_kms_key" {
    defaults = {
      arn = "arn:aws:kms:ap-northeast-2:123456789012:key/00000000-0000-0000-0000-000000000000"
    }
  }

  mock_resource "aws_cloudfront_distribution" {
    defaults = {
      domain_name = "d1.cloudfront.net"
    }
  }

  mock_resource "aws_cloudfront_function" {
    defaults = {
      arn = "arn:aws:cloudfront::123456789012:function/a-function"
    }
  }
}

variables {
  region       = "ap-northeast-2"
  repository   = "example/post-service"
  cluster_name = "board"
}

run "the_chart_gets_repository_and_queue" {
  assert {
    condition = yamldecode(output.helm_values) == {
      image          = { repository = "123456789012.dkr.ecr.ap-northeast-2.amazonaws.com/a-repository" }
      eventsQueueUrl = "https://sqs.ap-northeast-2.amazonaws.com/123456789012/a-queue"
      serviceAccount = { annotations = {} }
      deployers      = { enabled = true, group = "post-service:deployers" }
    }
    error_message = "helm_values are not the chart's values"
  }

  assert {
    condition     = output.role_arns.service == null
    error_message = "pods that keep nothing in AWS need no role"
  }
}

run "the_post_service_gets_bucket_and_cloudfront" {
  variables {
    images     = { bucket = "post-images" }
    images_cdn = {}
  }

  assert {
    condition     = yamldecode(output.post_service).spec.media == { bucket = "post-images", prefix = "image_files", publicBaseUrl = "https://d1.cloudfront.net" }
    error_message = "media is not as the PostService wants it"
  }
}

run "another_name_of_the_post_service_and_its_account_are_the_module_s_too" {
  variables {
    namespace         = "board"
    post_service      = "api"
    service_account   = "api-pods"
    images            = { bucket = "post-images" }
    pod_credentials   = "irsa"
    oidc_provider_arn = "arn:aws:iam::123456789012:oidc-provider/oidc.eks.ap-northeast-2.amazonaws.com/id/0123456789ABCDEF"
  }

  assert {
    condition     = yamldecode(output.post_service).metadata == { name = "api", namespace = "board" }
    error_message = "the PostService is named otherwise than it was asked for"
  }

  assert {
    condition = yamldecode(output.post_service).spec.serviceAccount == {
      annotations = { "eks.amazonaws.com/role-arn" = "arn:aws:iam::123456789012:role/a-role" }
      name        = "api-pods"
    }
    error_message = "the pods' service account does not get its role by IRSA"
  }
}
