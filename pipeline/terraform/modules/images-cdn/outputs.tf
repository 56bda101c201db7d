output "public_base_url" {
  description = "For publicBaseUrl in spec.media."
  value       = "https://${length(var.domain_names) > 0 ? var.domain_names[0] : aws_cloudfront_distribution.images.domain_name}"
}

output "domain_name" {
  description = "CloudFront's name, which your DNS leads domain_names to."
  value       = aws_cloudfront_distribution.images.domain_name
}

output "distribution_id" {
  description = "Id of the distribution, for invalidations."
  value       = aws_cloudfront_distribution.images.id
}

output "bucket_policy" {
  description = "The policy that the bucket needs. Merge it into yours unless manage_bucket_policy is true."
  value       = local.bucket_policy
}

output "key_policy_statement" {
  description = "A statement for the policy of the bucket's KMS key, without which CloudFront cannot read what it encrypts; null without kms_key_arn."
  value       = var.kms_key_arn == null ? null : local.key_policy_statement
}
