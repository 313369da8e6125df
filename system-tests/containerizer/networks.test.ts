import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import Driver from 'better-sqlite3';
import { expect, onTestFinished, test, vi } from 'vitest';
import type { Containerizer, LaunchOptions } from '#src/containerizer/index.js';
import {
  again,
  expectNothingLeft,
  IMAGE,
  otherContainerizer,
  sh,
  storeWithBusybox,
  takeAllAway,
} from '../helpers/containers.js';
import { ask, inNamespace, interfacesNamed, rulesWith, SERVER } from '../helpers/networks.js';
import { unmountAll } from '../helpers/reboot.js';
import { describeWith } from '../helpers/requirements.js';

const NEEDS = ['root', 'overlay', 'crun', 'runc', 'busybox', 'cgroups', 'network', 'netavark'] as const;
const PORT = 7000;

/** Launches a server that says its own name. */
async function serve(containers: Containerizer, id: string, options: LaunchOptions = {}): Promise<string> {
  await containers.launch(id, IMAGE, { ...sh(SERVER(`I-am-${id}`, PORT)), network: 'bridge', ...options });
  const address = (await containers.get(id))?.network?.address ?? '';
  expect(address).toMatch(/^10\./);
  await vi.waitFor(() => expect(said(address)).toBe(`I-am-${id}`), { timeout: 5000, interval: 20 });
  return address;
}

/** What a server says to this machine. */
const said = (address: string, port = PORT): string =>
  inNamespace(undefined, 'busybox', 'sh', '-c', ask(address, port)).answer.trim();

/** What a script prints in a container of its own. */
async function printed(containers: Containerizer, script: string, options: LaunchOptions): Promise<string> {
  const id = `asks-${randomInt(1e9)}`;
  await containers.launch(id, IMAGE, { ...sh(script), ...options });
  await containers.wait(id);
  let text = '';
  for await (const { bytes } of containers.logs(id)) text += bytes.toString();
  await containers.destroy(id);
  return text.trim();
}

/** A port of this machine that nobody has. */
async function freePort(): Promise<number> {
  const server = createServer().listen(0);
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  return typeof address === 'object' && address !== null ? address.port : 0;
}

async function bridgesOf(containers: Containerizer): Promise<string[]> {
  return (await containers.networks.list()).flatMap((network) => network.interface ?? []);
}

/** Nothing of a store's containers and networks is left, as seen from outside. */
async function expectNoNetworkLeft(root: string, bridges: readonly string[]): Promise<void> {
  await expectNothingLeft(root);
  for (const bridge of bridges) expect([...interfacesNamed(bridge), ...rulesWith(bridge)]).toEqual([]);
}

describeWith(NEEDS, 'containers of one network', () => {
  test.each(['crun', 'runc'] as const)(
    'reach each other by address and by name, by %s; the machine too',
    async (runtime) => {
      const { containers, root } = await storeWithBusybox({ runtime });
      const address = await serve(containers, 'web', { networkAliases: ['www'] });
      const look = 'nslookup web | tail -n +3; nslookup www | tail -n +3';
      const script = `${ask(address, PORT)}; ${look}; ip route; cat /etc/hosts /etc/resolv.conf`;
      const answer = await printed(containers, script, { network: 'bridge' });
      expect(answer).toContain('I-am-web');
      expect(answer.match(new RegExp(`Address: ${address.replaceAll('.', '\\.')}`, 'g'))).toHaveLength(2);
      const bridge = await containers.networks.get('bridge');
      expect(answer).toContain(`default via ${bridge?.gateway}`);
      expect(answer).toContain(`${bridge?.gateway}\thost.containers.internal`);
      expect(answer).toContain(`nameserver ${bridge?.gateway}`);
      expect(bridge).toMatchObject({
        internal: false,
        containers: [{ containerId: 'web', address, names: ['web', 'www'] }],
      });
      const bridges = await bridgesOf(containers);
      await containers.destroy('web', { running: 'kill' });
      await expectNoNetworkLeft(root, bridges);
    },
  );

  test('a name is known no more when its container has ended', async () => {
    const { containers } = await storeWithBusybox();
    await serve(containers, 'web');
    await containers.stop('web', { grace: 1 });
    expect(await printed(containers, 'nslookup web', { network: 'bridge' })).toContain("can't find web");
    expect(await containers.get('web')).toMatchObject({ state: 'exited', network: undefined });
  });

  test('one that is started again is connected again', async () => {
    const { containers } = await storeWithBusybox();
    await serve(containers, 'web');
    await containers.stop('web', { grace: 1 });
    await containers.start('web');
    const address = (await containers.get('web'))?.network?.address ?? '';
    await vi.waitFor(() => expect(said(address)).toBe('I-am-web'), { timeout: 5000, interval: 20 });
  });

  test('of the network without a way out nothing outside is reached, with all rights over its routes and by published ports too', async () => {
    const { containers, root } = await storeWithBusybox();
    const hostPort = await freePort();
    const address = await serve(containers, 'web', { ports: [{ containerPort: PORT, hostPort }] });
    const inside = await serve(containers, 'inside', { network: 'internal' });
    const gateway = (await containers.networks.get('internal'))?.gateway ?? '';
    expect(said('127.0.0.1', hostPort)).toBe('I-am-web');
    const reach = `${ask(address, PORT)}; ${ask(gateway, hostPort)}; nslookup web | grep -c "Address: ${address}"; nslookup example.com | grep find`;
    const script = `${ask(inside, PORT)}; ${reach}; ip route add default via ${gateway}; ${ask(address, PORT)}`;
    const answer = await printed(containers, script, { network: 'internal', addCapabilities: ['NET_ADMIN'] });
    expect(answer.split('\n').filter((line) => line !== '' && !line.includes("can't find example.com"))).toEqual([
      'I-am-inside',
      '0',
    ]);
    const bridges = await bridgesOf(containers);
    for (const id of ['web', 'inside']) await containers.destroy(id, { running: 'kill' });
    await expectNoNetworkLeft(root, bridges);
  });
});

describeWith(NEEDS, 'a published port', () => {
  test('leads to the container from this machine and from other containers, by TCP and UDP, and is told', async () => {
    const { containers, root } = await storeWithBusybox();
    const hostPort = await freePort();
    const ports = [
      { containerPort: PORT, hostPort },
      { containerPort: PORT + 1, protocol: 'udp' as const, hostAddress: '127.0.0.1' },
    ];
    await serve(containers, 'web', { ports });
    expect(said('127.0.0.1', hostPort)).toBe('I-am-web');
    const told = (await containers.get('web'))?.network?.ports ?? [];
    expect(told).toMatchObject([
      { hostPort, protocol: 'tcp' },
      { containerPort: PORT + 1, hostAddress: '127.0.0.1' },
    ]);
    expect(told[1]?.hostPort).toBeGreaterThan(1023);
    const gateway = (await containers.networks.get('bridge'))?.gateway ?? '';
    expect(await printed(containers, ask(gateway, hostPort), { network: 'bridge' })).toBe('I-am-web');
    await containers.destroy('web', { running: 'kill' });
    expect(said('127.0.0.1', hostPort)).toBe('');
    expect(rulesWith(String(hostPort))).toEqual([]);
    await expectNothingLeft(root);
  });

  test('is refused where a program or another container has it, and nothing is left of the launch', async () => {
    const { containers, root } = await storeWithBusybox();
    const server = createServer().listen(0);
    await once(server, 'listening');
    onTestFinished(() => void server.close());
    const address = server.address();
    const taken = typeof address === 'object' && address !== null ? address.port : 0;
    const wanting = (hostPort: number, hostAddress?: string) => ({
      ...sh('sleep 100'),
      network: 'bridge',
      ports: [{ containerPort: PORT, hostPort, hostAddress }],
    });
    await expect(containers.launch('one', IMAGE, wanting(taken))).rejects.toMatchObject({ code: 'ERR_PORT_IN_USE' });
    await expectNothingLeft(root);
    const hostPort = await freePort();
    await containers.launch('one', IMAGE, wanting(hostPort));
    for (const at of [undefined, '127.0.0.1'])
      await expect(containers.launch('two', IMAGE, wanting(hostPort, at))).rejects.toMatchObject({
        code: 'ERR_PORT_IN_USE',
      });
    await containers.stop('one', { grace: 1 });
    await containers.launch('two', IMAGE, wanting(hostPort));
  });

  test('of two launches that want one at once one gets it', async () => {
    const { containers } = await storeWithBusybox();
    const hostPort = await freePort();
    const options = { ...sh('sleep 100'), network: 'bridge', ports: [{ containerPort: PORT, hostPort }] };
    const outcomes = await Promise.allSettled(['one', 'two'].map((id) => containers.launch(id, IMAGE, options)));
    expect(outcomes.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected']);
  });
});

describeWith(NEEDS, 'a published port of a container that nobody watches', () => {
  test('is given back with its end', async () => {
    const { containers, root, provisioner } = await storeWithBusybox();
    await provisioner.close();
    const hostPort = await freePort();
    const options = { ...sh('sleep 0.3'), network: 'bridge', ports: [{ containerPort: PORT, hostPort }] };
    await otherContainerizer(root, `await c.launch('job', '${IMAGE}', ${JSON.stringify(options)}); await p.close();`)
      .done;
    await vi.waitFor(() => expect(rulesWith(String(hostPort))).toEqual([]), { timeout: 8000, interval: 50 });
    expect(containers).toBeDefined();
  });
});

describeWith(NEEDS, 'two stores of one machine', () => {
  test('do not publish one port twice', async () => {
    const one = await storeWithBusybox();
    const other = await storeWithBusybox();
    const hostPort = await freePort();
    const options = { ...sh('sleep 100'), network: 'bridge', ports: [{ containerPort: PORT, hostPort }] };
    await one.containers.launch('job', IMAGE, options);
    await expect(other.containers.launch('job', IMAGE, options)).rejects.toMatchObject({ code: 'ERR_PORT_IN_USE' });
    await one.containers.destroy('job', { running: 'kill' });
    await other.containers.launch('job', IMAGE, options);
  });

  test('do not have networks with the same addresses', async () => {
    const one = await storeWithBusybox();
    const other = await storeWithBusybox();
    for (const { containers } of [one, other]) await containers.networks.create('same', { subnet: '10.250.1.0/24' });
    const options = { ...sh('sleep 100'), network: 'same' };
    await one.containers.launch('job', IMAGE, options);
    await expect(other.containers.launch('job', IMAGE, options)).rejects.toMatchObject({ code: 'ERR_NETWORK_EXISTS' });
    await expectNothingLeft(other.root);
  });
});

describeWith(NEEDS, 'networks', () => {
  test('are made, listed, used and removed, and not while something is connected', async () => {
    const { containers, root } = await storeWithBusybox();
    const { networks } = containers;
    const own = (await networks.list()).filter(({ isConfigured }) => !isConfigured);
    expect(own.map(({ name, internal, subnet }) => ({ name, internal, subnet }))).toEqual([
      { name: 'bridge', internal: false, subnet: undefined },
      { name: 'internal', internal: true, subnet: undefined },
    ]);
    await networks.create('build', { internal: true, subnet: '10.253.7.0/29' });
    await expect(networks.create('build')).rejects.toMatchObject({ code: 'ERR_NETWORK_EXISTS' });
    await expect(networks.create('other', { subnet: '10.253.0.0/16' })).rejects.toMatchObject({
      code: 'ERR_NETWORK_EXISTS',
    });
    await serve(containers, 'web', { network: 'build', address: '10.253.7.5' });
    expect(await containers.get('web')).toMatchObject({ network: { name: 'build', address: '10.253.7.5' } });
    const same = { network: 'build', address: '10.253.7.5' };
    await expect(containers.launch('two', IMAGE, same)).rejects.toMatchObject({ code: 'ERR_ADDRESS_IN_USE' });
    await expect(networks.remove('build')).rejects.toMatchObject({ code: 'ERR_NETWORK_IN_USE' });
    expect(await networks.get('build')).toMatchObject({ containers: [{ containerId: 'web' }] });
    const bridges = await bridgesOf(containers);
    await containers.destroy('web', { running: 'kill' });
    expect(await networks.remove('build')).toBe(true);
    expect(await networks.remove('build')).toBe(false);
    await expectNoNetworkLeft(root, bridges);
  });

  test('do not reach each other', async () => {
    const { containers } = await storeWithBusybox();
    await containers.networks.create('other');
    const address = await serve(containers, 'web', { network: 'other' });
    expect(await printed(containers, ask(address, PORT), { network: 'bridge' })).toBe('');
    expect(await printed(containers, ask(address, PORT), { network: 'other' })).toBe('I-am-web');
  });

  test('publish hundreds of ports that follow each other, and not as many that do not', {
    timeout: 60_000,
  }, async () => {
    const { containers, root } = await storeWithBusybox();
    const ports = Array.from({ length: 500 }, (_, index) => ({
      containerPort: 7000 + index,
      hostPort: 40_000 + index,
    }));
    await serve(containers, 'web', { ports });
    expect(said('127.0.0.1', 40_000)).toBe('I-am-web');
    await containers.destroy('web', { running: 'kill' });
    const apart = ports.filter((_, index) => index % 2 === 0);
    const launch = containers.launch('job', IMAGE, { ...sh('true'), network: 'bridge', ports: apart });
    await expect(launch).rejects.toMatchObject({ code: 'ERR_BAD_OPTION' });
    await expectNothingLeft(root);
  });

  test('one that is full takes nobody more, and says so', async () => {
    const { containers } = await storeWithBusybox();
    await containers.networks.create('small', { subnet: '10.253.9.0/29' });
    const options = { ...sh('sleep 100'), network: 'small' };
    for (const id of ['a', 'b', 'c', 'd', 'e']) await containers.launch(id, IMAGE, options);
    await expect(containers.launch('f', IMAGE, options)).rejects.toMatchObject({ code: 'ERR_NETWORK_FULL' });
    await containers.destroy('c', { running: 'kill' });
    await containers.launch('f', IMAGE, options);
  });

  test.each([
    [{ network: 'nowhere' }, 'ERR_NETWORK_NOT_FOUND'],
    [{ network: 'netns:/run/netns/nowhere' }, 'ERR_NETWORK_NOT_FOUND'],
    [{ network: 'netns:relative' }, 'ERR_BAD_OPTION'],
    [{ network: 'a/b' }, 'ERR_BAD_OPTION'],
    [{ network: 'internal', ports: [{ containerPort: 80 }] }, 'ERR_BAD_OPTION'],
    [{ network: 'none', ports: [{ containerPort: 80 }] }, 'ERR_BAD_OPTION'],
    [{ network: 'bridge', address: '10.1.1.1' }, 'ERR_BAD_OPTION'],
    [{ network: 'bridge', networkAliases: ['a b'] }, 'ERR_BAD_OPTION'],
    [{ network: 'bridge', networkAliases: ['localhost'] }, 'ERR_BAD_OPTION'],
    [{ network: 'bridge', dns: ['fe80::1%eth0'] }, 'ERR_BAD_OPTION'],
    [{ network: 'bridge', ports: [{ containerPort: 53, hostPort: 53 }] }, 'ERR_PORT_IN_USE'],
    [
      {
        network: 'bridge',
        ports: [
          { containerPort: 1, hostPort: 2 },
          { containerPort: 3, hostPort: 2 },
        ],
      },
      'ERR_BAD_OPTION',
    ],
    [{ network: 'bridge', dns: ['nobody'] }, 'ERR_BAD_OPTION'],
    [{ network: 'bridge', ports: [{ containerPort: 80, hostAddress: '203.0.113.9' }] }, 'ERR_BAD_OPTION'],
  ])('%j is refused with %s, and nothing is left of the launch', async (options, code) => {
    const { containers, root } = await storeWithBusybox();
    await expect(containers.launch('job', IMAGE, options)).rejects.toMatchObject({ code });
    await expectNothingLeft(root);
  });

  test('a namespace of somebody else is joined, and stays', async () => {
    const { containers } = await storeWithBusybox();
    const name = `pt-${randomInt(1e6)}`;
    expect(inNamespace(undefined, 'ip', 'netns', 'add', name).status).toBe(0);
    onTestFinished(() => void inNamespace(undefined, 'ip', 'netns', 'delete', name));
    inNamespace(`/run/netns/${name}`, 'ip', 'link', 'add', 'mark0', 'type', 'bridge');
    const network = `netns:/run/netns/${name}`;
    expect(await printed(containers, 'ip link', { network })).toContain('mark0');
    expect(inNamespace(`/run/netns/${name}`, 'ip', 'link').answer).toContain('mark0');
  });
});

describeWith(NEEDS, 'namespaces that are ready', () => {
  const readyOf = async (containers: Containerizer) => (await containers.networks.get('bridge'))?.ready;

  test('are taken over by launches, in other processes too, are made again, and go with the process that keeps them', async () => {
    const { containers, provisioner, root } = await storeWithBusybox();
    const { openContainerizer } = await import('#src/containerizer/index.js');
    await openContainerizer({ provisioner, readyNetworks: { bridge: 2 } });
    await vi.waitFor(async () => expect(await readyOf(containers)).toBe(2), { timeout: 8000, interval: 50 });
    const waiting = (await provisioner.holdings.list({ kind: 'network-address' })).map(({ name }) => name);
    const address = await serve(containers, 'web');
    expect(waiting).toContain(address);
    expect(await printed(containers, 'nslookup web', { network: 'bridge' })).toContain(`Address: ${address}`);
    const other = otherContainerizer(
      root,
      `await c.launch('far', '${IMAGE}', ${JSON.stringify({ ...sh('sleep 100'), network: 'bridge' })}); await p.close();`,
    );
    await other.done;
    expect(await containers.get('far')).toMatchObject({ state: 'running', network: { name: 'bridge' } });
    await vi.waitFor(async () => expect(await readyOf(containers)).toBe(2), { timeout: 8000, interval: 50 });
    const bridges = await bridgesOf(containers);
    for (const id of ['web', 'far']) await containers.destroy(id, { running: 'kill' });
    await provisioner.close();
    await expectNoNetworkLeft(root, bridges);
  });

  test('are never taken over while they are taken apart', { timeout: 60_000 }, async () => {
    const { containers, root } = await storeWithBusybox();
    const keeper = `
      for (let turn = 0; turn < 3; turn++) {
        const { Provisioner } = await import('${new URL('../../dist/index.js', import.meta.url).href}');
        const own = await Provisioner.open({ root: p.root });
        const kept = await openContainerizer({ provisioner: own, readyNetworks: { bridge: 3 } });
        while (((await kept.networks.get('bridge'))?.ready ?? 0) < 2) await sleep(10);
        await own.close();
      }
      await p.close();`;
    const other = otherContainerizer(root, keeper);
    let isOver = false;
    void other.done.finally(() => {
      isOver = true;
    });
    while (!isOver)
      expect(await printed(containers, 'ip link show eth0 >/dev/null && echo there', { network: 'bridge' })).toBe(
        'there',
      );
    await other.done;
  });

  test('one that cannot be had keeps the others from nothing, and says why', async () => {
    const { containers, provisioner } = await storeWithBusybox();
    const { openContainerizer } = await import('#src/containerizer/index.js');
    await openContainerizer({ provisioner, readyNetworks: { nowhere: 1, bridge: 1 } });
    await vi.waitFor(async () => expect(await readyOf(containers)).toBe(1), { timeout: 8000, interval: 50 });
    await openContainerizer({ provisioner, readyNetworks: { bridge: 0 } });
    await vi.waitFor(async () => expect(await readyOf(containers)).toBe(0), { timeout: 8000, interval: 50 });
    await expect(openContainerizer({ provisioner, readyNetworks: { none: 1 } })).rejects.toMatchObject({
      code: 'ERR_BAD_OPTION',
    });
  });

  test('of a process that was killed are taken away by the next recovery', async () => {
    const { containers, root } = await storeWithBusybox();
    const other = otherContainerizer(
      root,
      `await openContainerizer({ provisioner: p, readyNetworks: { bridge: 2 } });
       await new Promise((resolve) => setInterval(resolve, 1e6));`,
    );
    await vi.waitFor(async () => expect(await readyOf(containers)).toBe(2), { timeout: 8000, interval: 50 });
    const bridges = await bridgesOf(containers);
    await other.kill();
    const { swept } = await containers.recover();
    expect(swept.filter((one) => one.startsWith('network namespace'))).toHaveLength(2);
    await expectNoNetworkLeft(root, bridges);
  });
});

describeWith(NEEDS, 'after a reboot', () => {
  test('addresses are free again when somebody recovers, and what is started again is connected again', async () => {
    const { containers, root, provisioner } = await storeWithBusybox();
    const before = await serve(containers, 'web', { network: 'internal' });
    const bridges = await bridgesOf(containers);
    await provisioner.close();
    await takeAllAway(root);
    await unmountAll(root);
    for (const bridge of bridges) inNamespace(undefined, 'ip', 'link', 'delete', bridge);
    const database = new Driver(join(root, 'metadata.sqlite'));
    database.exec("UPDATE launch SET boot = 'the one before'; UPDATE holding SET boot = 'the one before'");
    database.close();
    const later = await again(root);
    expect(await later.containers.recover()).toMatchObject({ lost: ['web'] });
    expect(await later.provisioner.holdings.list({ kind: 'network-address' })).toEqual([]);
    await later.containers.start('web');
    const address = (await later.containers.get('web'))?.network?.address ?? before;
    await vi.waitFor(() => expect(said(address)).toBe('I-am-web'), { timeout: 5000, interval: 20 });
    await later.containers.destroy('web', { running: 'kill' });
    await expectNoNetworkLeft(root, bridges);
  });
});

describeWith([...NEEDS, 'cni'], "a network that an administrator's file describes", () => {
  const range = `10.252.${randomInt(200)}`;
  const name = `pt-${randomInt(1e6)}`;
  const addresses = () => {
    const place = `/var/lib/cni/networks/${name}`;
    return existsSync(place) ? readdirSync(place).filter((entry) => entry.startsWith('10.')) : [];
  };

  function describeNetwork(plugin: object = {}): void {
    const file = `/etc/cni/net.d/zz-${name}.conflist`;
    mkdirSync('/etc/cni/net.d', { recursive: true });
    const ipam = { type: 'host-local', ranges: [[{ subnet: `${range}.0/24` }]] };
    const plugins = [{ type: 'bridge', bridge: name, isGateway: true, ipMasq: true, ipam, ...plugin }];
    writeFileSync(file, JSON.stringify({ cniVersion: '0.4.0', name, plugins }), { mode: 0o644 });
    onTestFinished(() => {
      rmSync(file, { force: true });
      inNamespace(undefined, 'ip', 'link', 'delete', name);
      rmSync(`/var/lib/cni/networks/${name}`, { recursive: true, force: true });
    });
  }

  test('is used by its name, and gets its address back with the end, whatever has become of the file', async () => {
    const { containers, root } = await storeWithBusybox();
    describeNetwork();
    const address = await serve(containers, 'web', { network: name });
    expect(address.startsWith(range)).toBe(true);
    expect(addresses()).toEqual([address]);
    expect(await containers.networks.get(name)).toMatchObject({ isConfigured: true, driver: 'cni' });
    rmSync(`/etc/cni/net.d/zz-${name}.conflist`);
    await containers.destroy('web', { running: 'kill' });
    expect(addresses()).toEqual([]);
    await expectNothingLeft(root);
  });

  test('gets its address back after a reboot, when there is no namespace any more', async () => {
    const { containers, root, provisioner } = await storeWithBusybox();
    describeNetwork();
    await serve(containers, 'web', { network: name });
    await provisioner.close();
    await takeAllAway(root);
    await unmountAll(root);
    const database = new Driver(join(root, 'metadata.sqlite'));
    database.exec("UPDATE launch SET boot = 'the one before'; UPDATE holding SET boot = 'the one before'");
    database.close();
    expect(addresses()).toHaveLength(1);
    const later = await again(root);
    await later.containers.recover();
    expect(addresses()).toEqual([]);
    expect(await later.provisioner.holdings.list({ kind: 'network-namespace' })).toEqual([]);
  });

  test('whose plugin is missing, or fails half way, is told, and nothing is left', async () => {
    const { containers, root } = await storeWithBusybox();
    describeNetwork({ type: 'no-such-plugin' });
    const options = { ...sh('true'), network: name };
    await expect(containers.launch('job', IMAGE, options)).rejects.toMatchObject({ code: 'ERR_NETWORK_UNSUPPORTED' });
    describeNetwork({ ipam: { type: 'host-local', ranges: [[{ subnet: 'nowhere' }]] } });
    await expect(containers.launch('job', IMAGE, options)).rejects.toMatchObject({ code: 'ERR_NETWORK_FAILED' });
    await expectNothingLeft(root);
    expect(addresses()).toEqual([]);
  });
});
