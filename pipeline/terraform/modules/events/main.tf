# ECR tells EventBridge of a push, EventBridge the queue, and the operator reads the queue.

locals {
  queue_name = "${var.name}-image-events"
  queue_arn  = "arn:${var.aws.partition}:sqs:${var.aws.region}:${var.aws.account_id}:${local.queue_name}"
  rule_name  = "${var.name}-image-events"
  rule_arn   = "arn:${var.aws.partition}:events:${var.aws.region}:${var.aws.account_id}:rule/${local.rule_name}"
}

# No queue for dead letters, neither here nor at the rule: the operator deletes every message, also one
# that it does not understand, so none comes back again and again; and a message that is lost costs
# nothing but time, since the registry is asked every scanInterval anyway.
resource "aws_sqs_queue" "this" {
  name = local.queue_name
  # By SQS's own key: EventBridge would need a right on any other, and the messages are names of images.
  sqs_managed_sse_enabled = true
  # Older news is no news: a scan has seen the image.
  message_retention_seconds  = 3600
  receive_wait_time_seconds  = 20
  visibility_timeout_seconds = 30
}

resource "aws_sqs_queue_policy" "this" {
  queue_url = aws_sqs_queue.this.url
  policy    = data.aws_iam_policy_document.queue.json
}

data "aws_iam_policy_document" "queue" {
  statement {
    sid       = "FromTheRule"
    actions   = ["sqs:SendMessage"]
    resources = [local.queue_arn]

    principals {
      type        = "Service"
      identifiers = ["events.amazonaws.com"]
    }

    condition {
      test     = "ArnEquals"
      variable = "aws:SourceArn"
      values   = [local.rule_arn]
    }

    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [var.aws.account_id]
    }
  }

  statement {
    sid       = "TlsOnly"
    effect    = "Deny"
    actions   = ["sqs:*"]
    resources = [local.queue_arn]

    principals {
      type        = "*"
      identifiers = ["*"]
    }

    condition {
      test     = "Bool"
      variable = "aws:SecureTransport"
      values   = ["false"]
    }
  }
}

resource "aws_cloudwatch_event_rule" "this" {
  name        = local.rule_name
  description = "Pushed and deleted images of ${join(", ", var.repository_names)}, for the operator"
  event_pattern = jsonencode({
    source        = ["aws.ecr"]
    "detail-type" = ["ECR Image Action"]
    detail = {
      "action-type"     = ["PUSH", "DELETE"]
      "repository-name" = var.repository_names
    }
  })
}

resource "aws_cloudwatch_event_target" "queue" {
  rule      = aws_cloudwatch_event_rule.this.name
  target_id = "queue"
  arn       = local.queue_arn

  depends_on = [aws_sqs_queue_policy.this]
}
