# A private backend behind both kinds of VPC link, and a consumer in another
# account that reaches it by PrivateLink. README.md says how to run it.

terraform {
  required_version = ">= 1.5"
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.45"
    }
  }
}

variable "endpoint" {
  description = "URL of Isthmus's AWS API"
  default     = "http://localhost:4566"
}

variable "region" {
  default = "us-east-1"
}

variable "provider_account" {
  description = "Account that has the backend and the APIs"
  default     = "111111111111"
}

variable "consumer_account" {
  description = "Account that reaches the backend by PrivateLink"
  default     = "222222222222"
}

variable "backend_address" {
  description = "Private address of the backend, in 10.0.1.0/24"
  default     = "10.0.1.10"
}

# An account is named by the access key; the secret may be anything.
provider "aws" {
  region                  = var.region
  access_key              = var.provider_account
  secret_key              = "isthmus"
  skip_metadata_api_check = true
  default_tags { tags = { Project = "isthmus-example" } }
  endpoints {
    apigateway   = var.endpoint
    apigatewayv2 = var.endpoint
    ec2          = var.endpoint
    elbv2        = var.endpoint
    sts          = var.endpoint
  }
}

provider "aws" {
  alias                   = "consumer"
  region                  = var.region
  access_key              = var.consumer_account
  secret_key              = "isthmus"
  skip_metadata_api_check = true
  default_tags { tags = { Project = "isthmus-example" } }
  endpoints {
    ec2 = var.endpoint
    sts = var.endpoint
  }
}

data "aws_availability_zones" "all" {
  state = "available"
}

data "aws_caller_identity" "consumer" {
  provider = aws.consumer
}

# --- The backend's network --------------------------------------------------

resource "aws_vpc" "backend" {
  cidr_block           = "10.0.0.0/16"
  enable_dns_hostnames = true
  tags                 = { Name = "backend" }
}

resource "aws_subnet" "backend" {
  count             = 2
  vpc_id            = aws_vpc.backend.id
  cidr_block        = cidrsubnet(aws_vpc.backend.cidr_block, 8, count.index + 1)
  availability_zone = data.aws_availability_zones.all.names[count.index]
  tags              = { Name = "backend-${count.index}" }
}

resource "aws_internet_gateway" "backend" {
  vpc_id = aws_vpc.backend.id
  tags   = { Name = "backend" }
}

resource "aws_route_table" "backend" {
  vpc_id = aws_vpc.backend.id
  route {
    cidr_block = "0.0.0.0/0"
    gateway_id = aws_internet_gateway.backend.id
  }
  tags = { Name = "backend" }
}

resource "aws_route_table_association" "backend" {
  count          = 2
  subnet_id      = aws_subnet.backend[count.index].id
  route_table_id = aws_route_table.backend.id
}

# What the load balancer and the version 2 link may reach.
resource "aws_security_group" "backend" {
  name        = "backend"
  description = "the backend"
  vpc_id      = aws_vpc.backend.id
  ingress {
    description     = "the load balancer"
    protocol        = "tcp"
    from_port       = 80
    to_port         = 80
    security_groups = [aws_security_group.balancer.id]
  }
  egress {
    protocol    = "-1"
    from_port   = 0
    to_port     = 0
    cidr_blocks = ["0.0.0.0/0"]
  }
  tags = { Name = "backend" }
}

# Rules of the load balancer are resources of their own.
resource "aws_security_group" "balancer" {
  name        = "balancer"
  description = "the load balancer"
  vpc_id      = aws_vpc.backend.id
  tags        = { Name = "balancer" }
}

resource "aws_vpc_security_group_ingress_rule" "link" {
  security_group_id            = aws_security_group.balancer.id
  description                  = "the version 2 link"
  referenced_security_group_id = aws_security_group.link.id
  ip_protocol                  = "tcp"
  from_port                    = 80
  to_port                      = 80
  tags                         = { Name = "link" }
}

resource "aws_vpc_security_group_egress_rule" "balancer" {
  security_group_id = aws_security_group.balancer.id
  cidr_ipv4         = aws_vpc.backend.cidr_block
  ip_protocol       = "-1"
}

resource "aws_security_group" "link" {
  name        = "link"
  description = "the version 2 link"
  vpc_id      = aws_vpc.backend.id
  tags        = { Name = "link" }
}

resource "aws_security_group_rule" "link" {
  security_group_id        = aws_security_group.link.id
  description              = "to the load balancer"
  type                     = "egress"
  protocol                 = "tcp"
  from_port                = 80
  to_port                  = 80
  source_security_group_id = aws_security_group.balancer.id
}

# --- Load balancers ---------------------------------------------------------

# A load balancer is in one endpoint service at most, and a version 1 link makes
# one: what others reach by PrivateLink needs a load balancer of its own.
resource "aws_lb" "backend" {
  for_each           = toset(["apis", "consumers"])
  name               = each.key
  load_balancer_type = "network"
  internal           = true
  subnets            = aws_subnet.backend[*].id
  security_groups    = [aws_security_group.balancer.id]

  enable_cross_zone_load_balancing = true
  # Clients by PrivateLink, version 1 links among them, have addresses of other
  # VPCs, of which the rules of this one know nothing.
  enforce_security_group_inbound_rules_on_private_link_traffic = "off"

  tags = { Name = each.key }
}

resource "aws_lb_target_group" "backend" {
  for_each             = aws_lb.backend
  name                 = each.key
  vpc_id               = aws_vpc.backend.id
  target_type          = "ip"
  protocol             = "TCP"
  port                 = 80
  preserve_client_ip   = false
  deregistration_delay = 30
  health_check {
    protocol            = "HTTP"
    path                = "/"
    matcher             = "200-399"
    interval            = 10
    timeout             = 5
    healthy_threshold   = 2
    unhealthy_threshold = 2
  }
  tags = { Name = each.key }
}

resource "aws_lb_target_group_attachment" "backend" {
  for_each         = aws_lb_target_group.backend
  target_group_arn = each.value.arn
  target_id        = var.backend_address
  port             = 80
}

resource "aws_lb_listener" "backend" {
  for_each          = aws_lb.backend
  load_balancer_arn = each.value.arn
  protocol          = "TCP"
  port              = 80
  default_action {
    type             = "forward"
    target_group_arn = aws_lb_target_group.backend[each.key].arn
  }
  tags = { Name = each.key }
}

# --- A REST API over a version 1 link ---------------------------------------

resource "aws_api_gateway_vpc_link" "v1" {
  name        = "v1"
  description = "to the load balancer of the APIs"
  target_arns = [aws_lb.backend["apis"].arn]
  tags        = { Name = "v1" }
}

resource "aws_api_gateway_rest_api" "pets" {
  name        = "pets"
  description = "pets by a version 1 link"
  endpoint_configuration { types = ["REGIONAL"] }
  tags = { Name = "pets" }
}

resource "aws_api_gateway_resource" "pets" {
  rest_api_id = aws_api_gateway_rest_api.pets.id
  parent_id   = aws_api_gateway_rest_api.pets.root_resource_id
  path_part   = "pets"
}

resource "aws_api_gateway_resource" "pet" {
  rest_api_id = aws_api_gateway_rest_api.pets.id
  parent_id   = aws_api_gateway_resource.pets.id
  path_part   = "{id}"
}

# The backend's answer as it is: a proxy integration. The link is named by a
# stage variable, so that stages may use different links.
resource "aws_api_gateway_method" "pet" {
  rest_api_id        = aws_api_gateway_rest_api.pets.id
  resource_id        = aws_api_gateway_resource.pet.id
  http_method        = "GET"
  authorization      = "NONE"
  request_parameters = { "method.request.path.id" = true }
}

resource "aws_api_gateway_integration" "pet" {
  rest_api_id             = aws_api_gateway_rest_api.pets.id
  resource_id             = aws_api_gateway_resource.pet.id
  http_method             = aws_api_gateway_method.pet.http_method
  type                    = "HTTP_PROXY"
  integration_http_method = "GET"
  uri                     = "http://backend.internal/pets/{id}"
  connection_type         = "VPC_LINK"
  connection_id           = "$${stageVariables.link}"
  timeout_milliseconds    = 10000
  request_parameters      = { "integration.request.path.id" = "method.request.path.id" }
}

# The backend's answer mapped: an integration with responses of its own.
resource "aws_api_gateway_method" "pets" {
  rest_api_id   = aws_api_gateway_rest_api.pets.id
  resource_id   = aws_api_gateway_resource.pets.id
  http_method   = "GET"
  authorization = "NONE"
}

resource "aws_api_gateway_method_response" "pets" {
  rest_api_id         = aws_api_gateway_rest_api.pets.id
  resource_id         = aws_api_gateway_resource.pets.id
  http_method         = aws_api_gateway_method.pets.http_method
  status_code         = "200"
  response_parameters = { "method.response.header.X-Backend" = true }
}

resource "aws_api_gateway_integration" "pets" {
  rest_api_id             = aws_api_gateway_rest_api.pets.id
  resource_id             = aws_api_gateway_resource.pets.id
  http_method             = aws_api_gateway_method.pets.http_method
  type                    = "HTTP"
  integration_http_method = "GET"
  uri                     = "http://backend.internal/pets/"
  connection_type         = "VPC_LINK"
  connection_id           = aws_api_gateway_vpc_link.v1.id
}

resource "aws_api_gateway_integration_response" "pets" {
  rest_api_id         = aws_api_gateway_rest_api.pets.id
  resource_id         = aws_api_gateway_resource.pets.id
  http_method         = aws_api_gateway_method.pets.http_method
  status_code         = aws_api_gateway_method_response.pets.status_code
  response_parameters = { "method.response.header.X-Backend" = "integration.response.header.Server" }
  depends_on          = [aws_api_gateway_integration.pets]
}

resource "aws_api_gateway_deployment" "pets" {
  rest_api_id = aws_api_gateway_rest_api.pets.id
  triggers    = { configuration = filesha1("${path.module}/main.tf") }
  depends_on  = [aws_api_gateway_integration.pet, aws_api_gateway_integration_response.pets]
  lifecycle { create_before_destroy = true }
}

resource "aws_api_gateway_stage" "pets" {
  rest_api_id   = aws_api_gateway_rest_api.pets.id
  deployment_id = aws_api_gateway_deployment.pets.id
  stage_name    = "prod"
  description   = "in production"
  variables     = { link = aws_api_gateway_vpc_link.v1.id }
  tags          = { Name = "prod" }
}

# --- An HTTP API over a version 2 link --------------------------------------

resource "aws_apigatewayv2_vpc_link" "v2" {
  name               = "v2"
  subnet_ids         = aws_subnet.backend[*].id
  security_group_ids = [aws_security_group.link.id]
  tags               = { Name = "v2" }
}

resource "aws_apigatewayv2_api" "pets" {
  name          = "pets"
  description   = "pets by a version 2 link"
  protocol_type = "HTTP"
  tags          = { Name = "pets" }
}

resource "aws_apigatewayv2_integration" "pets" {
  api_id               = aws_apigatewayv2_api.pets.id
  description          = "the backend"
  integration_type     = "HTTP_PROXY"
  integration_method   = "ANY"
  integration_uri      = aws_lb_listener.backend["apis"].arn
  connection_type      = "VPC_LINK"
  connection_id        = aws_apigatewayv2_vpc_link.v2.id
  timeout_milliseconds = 10000
}

resource "aws_apigatewayv2_route" "pets" {
  api_id    = aws_apigatewayv2_api.pets.id
  route_key = "ANY /pets/{proxy+}"
  target    = "integrations/${aws_apigatewayv2_integration.pets.id}"
}

resource "aws_apigatewayv2_stage" "pets" {
  api_id      = aws_apigatewayv2_api.pets.id
  name        = "$default"
  description = "in production"
  auto_deploy = true
  tags        = { Name = "default" }
}

# --- PrivateLink to another account -----------------------------------------

resource "aws_vpc_endpoint_service" "backend" {
  acceptance_required        = true
  network_load_balancer_arns = [aws_lb.backend["consumers"].arn]
  tags                       = { Name = "backend" }
}

resource "aws_vpc_endpoint_service_allowed_principal" "consumer" {
  vpc_endpoint_service_id = aws_vpc_endpoint_service.backend.id
  principal_arn           = "arn:aws:iam::${data.aws_caller_identity.consumer.account_id}:root"
}

# The consumer's network has the same addresses.
resource "aws_vpc" "consumer" {
  provider             = aws.consumer
  cidr_block           = "10.0.0.0/16"
  enable_dns_hostnames = true
  tags                 = { Name = "consumer" }
}

resource "aws_subnet" "consumer" {
  provider          = aws.consumer
  vpc_id            = aws_vpc.consumer.id
  cidr_block        = "10.0.1.0/24"
  availability_zone = data.aws_availability_zones.all.names[0]
  tags              = { Name = "consumer" }
}

resource "aws_security_group" "consumer" {
  provider    = aws.consumer
  name        = "endpoint"
  description = "the endpoint and its clients"
  vpc_id      = aws_vpc.consumer.id
  ingress {
    protocol  = "tcp"
    from_port = 80
    to_port   = 80
    self      = true
  }
  egress {
    protocol    = "-1"
    from_port   = 0
    to_port     = 0
    cidr_blocks = ["0.0.0.0/0"]
  }
  tags = { Name = "endpoint" }
}

resource "aws_vpc_endpoint" "backend" {
  provider           = aws.consumer
  vpc_id             = aws_vpc.consumer.id
  service_name       = aws_vpc_endpoint_service.backend.service_name
  vpc_endpoint_type  = "Interface"
  subnet_ids         = [aws_subnet.consumer.id]
  security_group_ids = [aws_security_group.consumer.id]
  tags               = { Name = "backend" }
  depends_on         = [aws_vpc_endpoint_service_allowed_principal.consumer]
}

resource "aws_vpc_endpoint_connection_accepter" "consumer" {
  vpc_endpoint_service_id = aws_vpc_endpoint_service.backend.id
  vpc_endpoint_id         = aws_vpc_endpoint.backend.id
}

# --- What to call -----------------------------------------------------------

output "backend" {
  description = "Options of isthmus run for the backend"
  value = join(" ", [
    "--account", var.provider_account, "--subnet", aws_subnet.backend[0].id,
    "--security-group", aws_security_group.backend.id, "--private-ip", var.backend_address,
  ])
}

output "consumer" {
  description = "Options of isthmus run for a client of the interface endpoint"
  value = join(" ", [
    "--account", var.consumer_account, "--subnet", aws_subnet.consumer.id,
    "--security-group", aws_security_group.consumer.id,
  ])
}

data "aws_network_interface" "endpoint" {
  provider = aws.consumer
  id       = one(aws_vpc_endpoint.backend.network_interface_ids)
}

output "endpoint_url" {
  value = "http://${data.aws_network_interface.endpoint.private_ip}/pets/1"
}

output "rest_url" {
  value = "http://${aws_api_gateway_rest_api.pets.id}.execute-api.localhost:8080/${aws_api_gateway_stage.pets.stage_name}/pets/1"
}

output "http_url" {
  value = "http://${aws_apigatewayv2_api.pets.id}.execute-api.localhost:8080/pets/1"
}
