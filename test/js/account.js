// An account's clients, and what it sets up with them.
import { APIGateway } from '@aws-sdk/client-api-gateway';
import { ApiGatewayV2 } from '@aws-sdk/client-apigatewayv2';
import { EC2 } from '@aws-sdk/client-ec2';
import { ElasticLoadBalancingV2 } from '@aws-sdk/client-elastic-load-balancing-v2';
import { run } from './machine.js';

export const region = 'us-east-1';

export class Account {
  constructor(id) {
    const options = {
      region,
      endpoint: 'http://127.0.0.1:4566',
      credentials: { accessKeyId: id, secretAccessKey: 'secret' },
      maxAttempts: 1, // an error is an error
    };
    this.id = id;
    this.ec2 = new EC2(options);
    this.elb = new ElasticLoadBalancingV2(options);
    this.rest = new APIGateway(options);
    this.http = new ApiGatewayV2(options);
  }

  // network makes a VPC 10.0.0.0/16 with a subnet; all have the same addresses.
  async network(cidr = '10.0.1.0/24') {
    const { Vpc } = await this.ec2.createVpc({ CidrBlock: '10.0.0.0/16' });
    const { Subnet } = await this.ec2.createSubnet({ VpcId: Vpc.VpcId, CidrBlock: cidr, AvailabilityZone: region + 'a' });
    return { vpc: Vpc.VpcId, subnet: Subnet.SubnetId };
  }

  // group makes a security group that lets the VPC in at a port.
  async group(vpc, name, port) {
    const { GroupId } = await this.ec2.createSecurityGroup({ VpcId: vpc, GroupName: name, Description: name });
    await this.ec2.authorizeSecurityGroupIngress({
      GroupId,
      IpPermissions: [{ IpProtocol: 'tcp', FromPort: port, ToPort: port, IpRanges: [{ CidrIp: '10.0.0.0/16' }] }],
    });
    return GroupId;
  }

  // site makes a network with a backend at 10.0.1.10 behind a Network Load
  // Balancer. The backend answers with the account and its caller's address.
  async site(t) {
    const site = await this.network();
    const group = await this.group(site.vpc, 'web', 80);
    const answer = `require('http').createServer((q, r) => r.end('${this.id} ' + q.socket.remoteAddress)).listen(80, '0.0.0.0')`;
    run(t, this.id, site.subnet, ['--security-group', group, '--private-ip', '10.0.1.10'], process.execPath, '-e', answer);

    const lb = await this.elb.createLoadBalancer({ Name: 'lb', Type: 'network', Scheme: 'internal', Subnets: [site.subnet] });
    site.balancer = lb.LoadBalancers[0].LoadBalancerArn;
    const tg = await this.elb.createTargetGroup({
      Name: 'tg', Protocol: 'TCP', Port: 80, TargetType: 'ip', VpcId: site.vpc, HealthCheckIntervalSeconds: 5,
    });
    const TargetGroupArn = tg.TargetGroups[0].TargetGroupArn;
    await this.elb.registerTargets({ TargetGroupArn, Targets: [{ Id: '10.0.1.10' }] });
    const l = await this.elb.createListener({
      LoadBalancerArn: site.balancer, Protocol: 'TCP', Port: 80, DefaultActions: [{ Type: 'forward', TargetGroupArn }],
    });
    site.listener = l.Listeners[0].ListenerArn;
    site.node = await this.address(site.vpc, 'network_load_balancer');
    return site;
  }

  // address is that of a VPC's only network interface of a type.
  async address(vpc, type) {
    const { NetworkInterfaces } = await this.ec2.describeNetworkInterfaces({
      Filters: [{ Name: 'vpc-id', Values: [vpc] }, { Name: 'interface-type', Values: [type] }],
    });
    return NetworkInterfaces[0].PrivateIpAddress;
  }

  // endpoint makes an interface endpoint in a network, open at a port.
  async endpoint(network, service, port) {
    const { VpcEndpoint } = await this.ec2.createVpcEndpoint({
      VpcId: network.vpc, VpcEndpointType: 'Interface', ServiceName: service, SubnetIds: [network.subnet],
      SecurityGroupIds: [await this.group(network.vpc, 'endpoint', port)], PrivateDnsEnabled: false,
    });
    return { id: VpcEndpoint.VpcEndpointId, address: await this.address(network.vpc, 'vpc_endpoint') };
  }

  // restAPI makes a REST API over a new version 1 link to a site, in the stage
  // "prod"; options are those of CreateRestApi.
  async restAPI(site, options = {}) {
    const link = await this.rest.createVpcLink({ name: 'v1', targetArns: [site.balancer] });
    const api = await this.rest.createRestApi({ name: 'rest', ...options });
    const method = { restApiId: api.id, resourceId: api.rootResourceId, httpMethod: 'GET' };
    await this.rest.putMethod({ ...method, authorizationType: 'NONE' });
    await this.rest.putIntegration({
      ...method, type: 'HTTP_PROXY', integrationHttpMethod: 'GET', connectionType: 'VPC_LINK', connectionId: link.id,
      uri: 'http://backend.internal/',
    });
    await this.rest.createDeployment({ restApiId: api.id, stageName: 'prod' });
    return api.id;
  }

  // httpAPI makes an HTTP API over a new version 2 link to a site.
  async httpAPI(site) {
    const link = await this.http.createVpcLink({
      Name: 'v2', SubnetIds: [site.subnet], SecurityGroupIds: [await this.group(site.vpc, 'link', 80)],
    });
    const { ApiId } = await this.http.createApi({ Name: 'http', ProtocolType: 'HTTP' });
    const { IntegrationId } = await this.http.createIntegration({
      ApiId, IntegrationType: 'HTTP_PROXY', IntegrationMethod: 'ANY', PayloadFormatVersion: '1.0',
      ConnectionType: 'VPC_LINK', ConnectionId: link.VpcLinkId, IntegrationUri: site.listener,
    });
    await this.http.createRoute({ ApiId, RouteKey: '$default', Target: `integrations/${IntegrationId}` });
    await this.http.createStage({ ApiId, StageName: '$default', AutoDeploy: true });
    return ApiId;
  }
}
