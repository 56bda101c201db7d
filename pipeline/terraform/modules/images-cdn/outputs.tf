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
