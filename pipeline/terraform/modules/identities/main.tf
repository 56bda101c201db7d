# Roles of the operator's and the service's pods.

locals {
  arn          = "arn:${var.aws.partition}"
  cluster_arn  = "${local.arn}:eks:${var.aws.region}:${var.aws.account_id}:cluster/${var.cluster_name}"
  repositories = [for name in var.repository_names : "${local.arn}:ecr:${var.aws.region}:${var.aws.account_id}:repository/${name}"]
  # The pool's id begins with its region, which may be another one.
  pool_arn = var.cognito == null ? null : "${local.arn}:cognito-idp:${split("_", var.cognito.user_pool_id)[0]}:${var.aws.account_id}:userpool/${var.cognito.user_pool_id}"
  # The service's pods need a role only for what is kept outside of the cluster.
  accounts = merge(
    { operator = var.operator },
    var.images == null && var.cognito == null ? {} : { service = var.service },
  )
  irsa   = var.pod_credentials == "irsa"
  issuer = local.irsa ? split("oidc-provider/", var.oidc_provider_arn)[1] : ""
}

data "aws_iam_policy_document" "assume" {
  for_each = local.accounts

  # Without these conditions every association in the account could lend the role to any pod.
  dynamic "statement" {
    for_each = local.irsa ? [] : [each.value]

    content {
      sid     = "PodIdentity"
      actions = ["sts:AssumeRole", "sts:TagSession"]

      principals {
        type        = "Service"
        identifiers = ["pods.eks.amazonaws.com"]
      }

      condition {
        test     = "StringEquals"
        variable = "aws:SourceAccount"
        values   = [var.aws.account_id]
      }

      condition {
        test     = "StringEquals"
        variable = "aws:RequestTag/eks-cluster-arn"
        values   = [local.cluster_arn]
      }

      condition {
        test     = "StringEquals"
        variable = "aws:RequestTag/kubernetes-namespace"
        values   = [statement.value.namespace]
      }

      condition {
        test     = "StringEquals"
        variable = "aws:RequestTag/kubernetes-service-account"
        values   = [statement.value.service_account]
      }
    }
  }

  dynamic "statement" {
    for_each = local.irsa ? [each.value] : []

    content {
      sid     = "ServiceAccount"
      actions = ["sts:AssumeRoleWithWebIdentity"]

      principals {
        type        = "Federated"
        identifiers = [var.oidc_provider_arn]
      }

      condition {
        test     = "StringEquals"
        variable = "${local.issuer}:aud"
        values   = ["sts.amazonaws.com"]
      }

      condition {
        test     = "StringEquals"
        variable = "${local.issuer}:sub"
        values   = ["system:serviceaccount:${statement.value.namespace}:${statement.value.service_account}"]
      }
    }
  }
}

resource "aws_iam_role" "this" {
  for_each = local.accounts

  name                 = "${var.name}-${each.key}-pods"
  description          = "Pods of service account ${each.value.service_account} in ${each.value.namespace} on ${var.cluster_name}"
  assume_role_policy   = data.aws_iam_policy_document.assume[each.key].json
  permissions_boundary = var.permissions_boundary_arn
}

resource "aws_eks_pod_identity_association" "this" {
  for_each = local.irsa ? {} : local.accounts

  cluster_name    = var.cluster_name
  namespace       = each.value.namespace
  service_account = each.value.service_account
  role_arn        = aws_iam_role.this[each.key].arn
}

resource "aws_iam_role_policy" "operator" {
  name   = "operator"
  role   = aws_iam_role.this["operator"].id
  policy = data.aws_iam_policy_document.operator.json
}

# As docs/operations.md says, "Rights in AWS".
data "aws_iam_policy_document" "operator" {
  statement {
    sid       = "Images"
    actions   = ["ecr:DescribeImages"]
    resources = local.repositories
  }

  statement {
    sid = "Lifecycle"
    actions = [
      "ecr:GetLifecyclePolicy",
      "ecr:GetLifecyclePolicyPreview",
      "ecr:StartLifecyclePolicyPreview",
    ]
    resources = local.repositories
  }

  statement {
    sid       = "PushEvents"
    actions   = ["sqs:DeleteMessage", "sqs:ReceiveMessage"]
    resources = [var.queue_arn]
  }
}

resource "aws_iam_role_policy" "service" {
  for_each = { for name, account in local.accounts : name => account if name == "service" }

  name   = "service"
  role   = aws_iam_role.this[each.key].id
  policy = data.aws_iam_policy_document.service.json
}

data "aws_iam_policy_document" "service" {
  dynamic "statement" {
    for_each = var.images[*]

    content {
      sid       = "UploadedImages"
      actions   = ["s3:DeleteObject", "s3:GetObject", "s3:PutObject"]
      resources = ["${local.arn}:s3:::${statement.value.bucket}/${statement.value.prefix}/*"]
    }
  }

  # The service lists nothing: without this right S3 answers 403 for an image that is not there, and the
  # service could not tell that from a bucket that refuses it. A condition on s3:prefix would take that
  # away again, since reading an object has none.
  dynamic "statement" {
    for_each = var.images[*]

    content {
      sid       = "TellMissingImages"
      actions   = ["s3:ListBucket"]
      resources = ["${local.arn}:s3:::${statement.value.bucket}"]
    }
  }

  dynamic "statement" {
    for_each = compact([try(var.images.kms_key_arn, null)])

    content {
      sid       = "EncryptedImages"
      actions   = ["kms:Decrypt", "kms:GenerateDataKey"]
      resources = [statement.value]

      condition {
        test     = "StringLike"
        variable = "kms:ViaService"
        values   = ["s3.*.amazonaws.com"]
      }
    }
  }

  dynamic "statement" {
    for_each = var.cognito[*]

    content {
      sid = "CloseAccounts"
      actions = [
        "cognito-idp:Admin${statement.value.deactivation}User",
        "cognito-idp:AdminUserGlobalSignOut",
      ]
      resources = [local.pool_arn]
    }
  }
}
