# One key for images, artifacts and logs: whoever may not use it reads none of them, and its use is in
# CloudTrail.

locals {
  account_root = "arn:${var.aws.partition}:iam::${var.aws.account_id}:root"
  log_groups   = "arn:${var.aws.partition}:logs:${var.aws.region}:${var.aws.account_id}:log-group:"
}

resource "aws_kms_key" "this" {
  description             = "${var.name}: images, artifacts and logs of the pipeline"
  enable_key_rotation     = true
  deletion_window_in_days = 30
  policy                  = data.aws_iam_policy_document.key.json
}

resource "aws_kms_alias" "this" {
  name          = "alias/${var.name}"
  target_key_id = aws_kms_key.this.key_id
}

# In a key's own policy the resource `*` is that key and no other.
data "aws_iam_policy_document" "key" {
  # checkov:skip=CKV_AWS_109:The account's administrators administrate the key, as AWS's default policy says; without it nobody could change this policy any more
  # checkov:skip=CKV_AWS_111:Resource * is this key only
  # checkov:skip=CKV_AWS_356:Resource * is this key only
  statement {
    sid       = "ByIamOfThisAccount"
    actions   = ["kms:*"]
    resources = ["*"]

    principals {
      type        = "AWS"
      identifiers = [local.account_root]
    }
  }

  statement {
    sid = "Logs"
    actions = [
      "kms:Decrypt",
      "kms:DescribeKey",
      "kms:Encrypt",
      "kms:GenerateDataKey*",
      "kms:ReEncrypt*",
    ]
    resources = ["*"]

    principals {
      type        = "Service"
      identifiers = ["logs.${var.aws.region}.amazonaws.com"]
    }

    condition {
      test     = "ArnLike"
      variable = "kms:EncryptionContext:aws:logs:arn"
      values   = [for prefix in var.log_group_prefixes : "${local.log_groups}${prefix}*"]
    }
  }
}
