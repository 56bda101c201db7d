resource "aws_ecr_repository" "this" {
  for_each = var.repository_names

  name = each.value
  # A commit's tag means one image for ever: what was tested is what runs.
  image_tag_mutability = "IMMUTABLE"
  # Images that run are not deleted by mistake: a repository that holds some is not removed.
  force_delete = false

  image_scanning_configuration {
    scan_on_push = true
  }

  encryption_configuration {
    encryption_type = "KMS"
    kms_key         = var.kms_key_arn
  }
}

# An image belongs to the first rule that its tags fit, and no later rule takes it: what has a tag
# deployed-… is judged by the first rule alone. ECR cannot say "older than, and not of the last N", so
# the last rule counts, and its number is large.
resource "aws_ecr_lifecycle_policy" "this" {
  for_each = aws_ecr_repository.this

  repository = each.value.name
  policy = jsonencode({
    rules = [
      {
        rulePriority = 1
        description  = "The last ${var.keep_deployed_images} that were deployed stay"
        selection = {
          tagStatus     = "tagged"
          tagPrefixList = ["deployed-"]
          countType     = "imageCountMoreThan"
          countNumber   = var.keep_deployed_images
        }
        action = { type = "expire" }
      },
      {
        rulePriority = 2
        description  = "Without a tag: ${var.untagged_days} days"
        selection = {
          tagStatus   = "untagged"
          countType   = "sinceImagePushed"
          countUnit   = "days"
          countNumber = var.untagged_days
        }
        action = { type = "expire" }
      },
      {
        rulePriority = 3
        description  = "The last ${var.keep_images} stay"
        selection = {
          tagStatus      = "tagged"
          tagPatternList = ["*"]
          countType      = "imageCountMoreThan"
          countNumber    = var.keep_images
        }
        action = { type = "expire" }
      },
    ]
  })
}
