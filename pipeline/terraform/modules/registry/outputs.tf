output "repository_urls" {
  description = "By name: ACCOUNT.dkr.ecr.REGION.amazonaws.com/NAME."
  value       = { for name, repository in aws_ecr_repository.this : name => repository.repository_url }
}

output "repository_arns" {
  description = "By name: the repository's ARN."
  value       = { for name, repository in aws_ecr_repository.this : name => repository.arn }
}
