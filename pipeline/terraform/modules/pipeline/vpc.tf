# Only where the cluster's endpoint is private: the deploy stage then works inside of the VPC.

resource "aws_security_group" "deploy" {
  # checkov:skip=CKV2_AWS_5:The deploy project has it, where there is a VPC
  count = var.vpc == null ? 0 : 1

  name        = local.deploy_name
  description = "CodeBuild project ${local.deploy_name}: nobody comes in, HTTPS goes out"
  vpc_id      = var.vpc.id
}

# To the cluster, and to ECR, EKS, STS, S3 and CloudWatch, whose addresses are many and change.
resource "aws_vpc_security_group_egress_rule" "https" {
  count = var.vpc == null ? 0 : 1

  security_group_id = aws_security_group.deploy[0].id
  description       = "HTTPS to the cluster and to AWS"
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
  cidr_ipv4         = "0.0.0.0/0"
}

resource "aws_vpc_security_group_ingress_rule" "cluster" {
  count = try(var.vpc.cluster_security_group_id, null) == null ? 0 : 1

  security_group_id            = var.vpc.cluster_security_group_id
  description                  = "Deploy stage of ${var.name}"
  ip_protocol                  = "tcp"
  from_port                    = 443
  to_port                      = 443
  referenced_security_group_id = aws_security_group.deploy[0].id
}

resource "aws_iam_role_policy" "network" {
  count = var.vpc == null ? 0 : 1

  name   = "network"
  role   = aws_iam_role.deploy.id
  policy = data.aws_iam_policy_document.network[0].json
}

data "aws_iam_policy_document" "network" {
  # checkov:skip=CKV_AWS_111:Interfaces have no name before they are made; subnets and security group say where they may be
  # checkov:skip=CKV_AWS_356:EC2 lists know no narrower resource
  count = var.vpc == null ? 0 : 1

  statement {
    sid = "Look"
    actions = [
      "ec2:DescribeDhcpOptions",
      "ec2:DescribeNetworkInterfaces",
      "ec2:DescribeSecurityGroups",
      "ec2:DescribeSubnets",
      "ec2:DescribeVpcs",
    ]
    # EC2 lists all or nothing: these actions know no narrower resource.
    resources = ["*"]
  }

  # It takes all three: an interface, whose name is not known before, in these subnets, and (below) with
  # this group.
  statement {
    sid       = "MakeInterface"
    actions   = ["ec2:CreateNetworkInterface"]
    resources = concat(["${local.arn}:ec2:${local.here}:network-interface/*"], local.subnet_arns)
  }

  statement {
    sid       = "RemoveInterface"
    actions   = ["ec2:DeleteNetworkInterface"]
    resources = ["${local.arn}:ec2:${local.here}:network-interface/*"]

    condition {
      test     = "ArnEquals"
      variable = "ec2:Subnet"
      values   = local.subnet_arns
    }
  }

  statement {
    sid       = "LendInterface"
    actions   = ["ec2:CreateNetworkInterfacePermission"]
    resources = ["${local.arn}:ec2:${local.here}:network-interface/*"]

    condition {
      test     = "StringEquals"
      variable = "ec2:AuthorizedService"
      values   = ["codebuild.amazonaws.com"]
    }

    condition {
      test     = "ArnEquals"
      variable = "ec2:Subnet"
      values   = local.subnet_arns
    }
  }
}

# On its own, since the id of a new group is not known to a plan.
resource "aws_iam_role_policy" "security_group" {
  count = var.vpc == null ? 0 : 1

  name   = "security-group"
  role   = aws_iam_role.deploy.id
  policy = data.aws_iam_policy_document.security_group[0].json
}

data "aws_iam_policy_document" "security_group" {
  count = var.vpc == null ? 0 : 1

  statement {
    sid       = "WithTheGroup"
    actions   = ["ec2:CreateNetworkInterface"]
    resources = [for group in aws_security_group.deploy : "${local.arn}:ec2:${local.here}:security-group/${group.id}"]
  }
}

locals {
  subnet_arns = [for id in try(var.vpc.subnet_ids, []) : "${local.arn}:ec2:${local.here}:subnet/${id}"]
}
