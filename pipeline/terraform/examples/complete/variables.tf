# Of this root module itself. Those of the module, with their defaults and rules, are its own file:
# module_variables.tf is a link to it.

variable "region" {
  description = "AWS region of the cluster, and of everything that is made."
  type        = string

  validation {
    condition     = can(regex("^[a-z]{2}(-[a-z]+)+-[0-9]$", var.region))
    error_message = "region must be the code of a region, like ap-northeast-2."
  }
}

variable "tags" {
  description = "Tags of all resources."
  type        = map(string)
  default     = {}
}
