// The article's topologies: each is set up by the SDK, and packets get through.
import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { test } from 'node:test';
import { Account, region } from './account.js';
import { authority, becomes, call, curl } from './machine.js';

const forbidden = '403 {"message":"Forbidden"}';

test('private integration of a REST API, by a version 1 link', async (t) => {
  const a = new Account('301111111111');
  const site = await a.site(t);
  const api = await a.restAPI(site);
  await becomes(`200 ${a.id} ${site.node}`, () => call(api, '/prod'));
});

test('private integration of an HTTP API, by a version 2 link', async (t) => {
  const a = new Account('302222222222');
  const site = await a.site(t);
  const api = await a.httpAPI(site);
  await becomes(`200 ${a.id} ${site.node}`, () => call(api, '/'));
  const { ServiceConfigurations } = await a.ec2.describeVpcEndpointServiceConfigurations({});
  assert.deepEqual(ServiceConfigurations, []);
});

test('PrivateLink across accounts', async (t) => {
  const provider = new Account('303333333333');
  const consumer = new Account('304444444444');
  const site = await provider.site(t);
  const { ServiceConfiguration } = await provider.ec2.createVpcEndpointServiceConfiguration({
    NetworkLoadBalancerArns: [site.balancer], AcceptanceRequired: true,
  });
  const { ServiceId, ServiceName } = ServiceConfiguration;
  const network = await consumer.network('10.0.2.0/24');
  await assert.rejects(consumer.endpoint(network, ServiceName, 80), { name: 'InvalidServiceName' });

  await provider.ec2.modifyVpcEndpointServicePermissions({
    ServiceId, AddAllowedPrincipals: [`arn:aws:iam::${consumer.id}:root`],
  });
  const other = await consumer.network('10.0.2.0/24');
  const endpoint = await consumer.endpoint(other, ServiceName, 80);
  const ask = () => curl(consumer.id, other.subnet, `http://${endpoint.address}/`);
  assert.equal(await ask(), '');
  await provider.ec2.acceptVpcEndpointConnections({ ServiceId, VpcEndpointIds: [endpoint.id] });
  await becomes(`200 ${provider.id} ${site.node}`, ask);
});

test('a private API with a private integration', async (t) => {
  const caller = new Account('305555555555');
  const owner = new Account('306666666666');
  const network = await caller.network('10.0.2.0/24');
  const endpoint = await caller.endpoint(network, `com.amazonaws.${region}.execute-api`, 443);
  const site = await owner.site(t);
  const api = await owner.restAPI(site, {
    endpointConfiguration: { types: ['PRIVATE'] },
    policy: JSON.stringify({
      Version: '2012-10-17',
      Statement: [{
        Effect: 'Allow', Principal: '*', Action: 'execute-api:Invoke', Resource: 'execute-api:/*',
        Condition: { StringEquals: { 'aws:SourceVpce': endpoint.id } },
      }],
    }),
  });
  const trust = `${process.env.ISTHMUS_RUN_DIR}/../trust.pem`;
  await writeFile(trust, await authority());
  const url = `https://${api}.execute-api.${region}.amazonaws.com/prod`;
  await becomes(`200 ${owner.id} ${site.node}`, () =>
    curl(caller.id, network.subnet, '--cacert', trust, '--connect-to', `::${endpoint.address}:`, url));
  assert.equal(await call(api, '/prod'), forbidden);
});
