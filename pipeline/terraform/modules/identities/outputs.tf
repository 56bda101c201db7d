output "operator_role_arn" {
  description = "ARN of the role of the operator's pods."
  value       = aws_iam_role.this["operator"].arn
}

output "service_role_arn" {
  description = "ARN of the role of the service's pods; null if they need none."
  value       = try(aws_iam_role.this["service"].arn, null)
}

output "operator_annotations" {
  description = "Annotations of the operator's service account, the chart's serviceAccount.annotations; none with Pod Identity."
  value       = local.irsa ? { "eks.amazonaws.com/role-arn" = aws_iam_role.this["operator"].arn } : {}
}

output "service_annotations" {
  description = "Annotations of the pods' service account, the PostService's spec.serviceAccount.annotations; none with Pod Identity."
  value       = local.irsa && contains(keys(local.accounts), "service") ? { "eks.amazonaws.com/role-arn" = aws_iam_role.this["service"].arn } : {}
}
