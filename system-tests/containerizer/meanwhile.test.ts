import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import type { Containerizer } from '#src/containerizer/index.js';
import type { Provisioner } from '#src/index.js';
import { again, expectNothingLeft, IMAGE, otherContainerizer, sh, storeWithBusybox } from '../helpers/containers.js';
import { describeWith } from '../helpers/requirements.js';

/** Has each provision wait, as for a pull. @returns lets them go on */
function holdProvisions(provisioner: Provisioner): () => void {
  let go = () => {};
  const held = new Promise<void>((resolve) => {
    go = resolve;
  });
  const provision = provisioner.provision.bind(provisioner);
  provisioner.provision = async (...words) => {
    await held;
    return provision(...words);
  };
  return go;
}

async function stateOf(containers: Containerizer, id: string): Promise<string | undefined> {
  for (let looks = 0; looks < 200; looks++) {
    const state = (await containers.get(id))?.state;
    if (state === 'starting') return state;
    await sleep(5);
  }
  return undefined;
}

describeWith(['root', 'overlay', 'cgroups', 'crun', 'busybox'], 'a launch that is just beginning', () => {
  test.each([
    ['stopped', (others: Containerizer) => others.stop('job')],
    ['destroyed', (others: Containerizer) => others.destroy('job', { running: 'kill' })],
  ])('is %s at once, comes to nothing, and says so', async (_, end) => {
    const { provisioner, containers, root } = await storeWithBusybox();
    const others = (await again(root)).containers;
    const go = holdProvisions(provisioner);
    const launch = containers.launch('job', IMAGE, sh('sleep 60')).catch((error) => error);
    expect(await stateOf(others, 'job')).toBe('starting');
    const began = Date.now();
    await end(others);
    expect(Date.now() - began).toBeLessThan(5000);
    go();
    expect(await launch).toMatchObject({
      code: 'ERR_START_FAILED',
      message: expect.stringContaining('was ended before'),
    });
    expect(await others.get('job')).toBeUndefined();
    await expectNothingLeft(root);
  });

  test.each([
    ['forked', (others: Containerizer, signal: AbortSignal) => others.fork('job', 'copy', { signal })],
    ['started', (others: Containerizer, signal: AbortSignal) => others.start('job', { signal })],
    ['waited for', (others: Containerizer, signal: AbortSignal) => others.wait('job', { signal })],
  ])('is %s when it has begun, which can be given up before', async (_, ask) => {
    const { provisioner, containers, root } = await storeWithBusybox();
    const others = (await again(root)).containers;
    const go = holdProvisions(provisioner);
    const launch = containers.launch('job', IMAGE, sh('sleep 60'));
    expect(await stateOf(others, 'job')).toBe('starting');
    const giveUp = new AbortController();
    const asked = ask(others, giveUp.signal).catch((error) => error);
    await sleep(100);
    giveUp.abort();
    const outcome = await Promise.race([asked, sleep(5000)]);
    go();
    await launch;
    expect(outcome).toMatchObject({ code: 'ERR_ABORTED' });
    await containers.destroy('job', { running: 'kill' });
    await expectNothingLeft(root);
  });

  test('is never taken for one that does not die, whenever it is stopped', async () => {
    const { containers, root } = await storeWithBusybox();
    const others = (await again(root)).containers;
    for (const after of [0, 5, 10, 20, 30, 40, 60]) {
      const launch = containers.launch('job', IMAGE, sh('exec sleep 60')).catch((error) => error);
      await sleep(after);
      const stopped = await others.stop('job', { grace: 0 }).catch((error) => error);
      const launched = await launch;
      if (launched instanceof Error) expect(launched).toMatchObject({ code: 'ERR_START_FAILED' });
      else if (stopped instanceof Error) expect(stopped).toMatchObject({ code: 'ERR_CONTAINER_NOT_FOUND' });
      else expect(stopped).toMatchObject({ signal: 9, reason: 'killed' });
      await others.destroy('job', { running: 'kill' });
    }
    await expectNothingLeft(root);
  });

  test('undoes nothing but what it has made, when somebody has made another of that id meanwhile', async () => {
    const { provisioner, containers, root } = await storeWithBusybox();
    const alice = (await again(root, { owner: 'alice' })).provisioner;
    const go = holdProvisions(provisioner);
    const launch = containers.launch('job', IMAGE, { command: ['/nonexistent'] });
    launch.catch(() => undefined);
    expect(await stateOf(containers, 'job')).toBe('starting');
    const { rootfs } = await alice.provision('job', IMAGE);
    writeFileSync(join(rootfs, 'precious'), 'data');
    go();
    await expect(launch).rejects.toThrow();
    const left = await alice.containers.get('job');
    expect(left?.rootfses.map((one) => one.rootfs)).toEqual([rootfs]);
    expect(left?.rootfses[0]?.state).toBe('ready');
    await alice.destroy('job');
    await expectNothingLeft(root);
  });

  test('is left alone by whoever recovers at the same time', async () => {
    const { containers, root } = await storeWithBusybox();
    // What the launch before has left may be taken away by either.
    const recovering =
      'for (;;) { const { undone, failed } = await c.recover(); if (undone.length + failed.length > 0) say(JSON.stringify({ undone, failed })); }';
    const other = otherContainerizer(root, recovering);
    await containers.launch('job', IMAGE, sh('echo once'));
    for (let times = 0; times < 25; times++) {
      await containers.wait('job');
      await containers.start('job');
    }
    await containers.wait('job');
    await other.kill();
    expect((await other.done.catch(() => [])).filter((line) => line !== '')).toEqual([]);
    let printed = '';
    for await (const { bytes } of containers.logs('job')) printed += bytes;
    expect(printed).toBe('once\n'.repeat(26));
    await containers.destroy('job');
    await expectNothingLeft(root);
  });
});

describeWith(['root', 'overlay', 'cgroups', 'crun', 'busybox'], 'a container that is started again', () => {
  test('has its output read to the end by whoever began before', async () => {
    const { containers } = await storeWithBusybox();
    await containers.launch('job', IMAGE, {
      ...sh('[ -e /n ] || seq 1 60000; touch /n'),
      log: { maxBytes: 8 * 2 ** 20 },
    });
    await containers.wait('job');
    let lines = 0;
    for await (const { bytes } of containers.logs('job')) {
      if (bytes.at(-1) === 0x0a) lines++;
      if (lines !== 10 || bytes.at(-1) !== 0x0a) continue;
      await containers.start('job');
      await containers.wait('job');
    }
    expect(lines).toBe(60_000);
  });
});

describeWith(['root', 'overlay', 'cgroups', 'crun', 'busybox'], 'starts and restarts of one container at once', () => {
  test('come to one that runs, whoever asks', async () => {
    const { containers, root } = await storeWithBusybox();
    const others = (await again(root)).containers;
    await containers.launch('job', IMAGE, sh('exec sleep 60'));
    await containers.stop('job', { grace: 0 });
    for (let times = 0; times < 4; times++) {
      const [one, other] = await Promise.all([containers.start('job'), others.start('job')]);
      expect([one.state, other.state]).toEqual(['running', 'running']);
      expect(one.launchId).toBe(other.launchId);
      const restarted = await Promise.all([
        containers.restart('job', { grace: 0 }),
        others.restart('job', { grace: 0 }),
      ]);
      expect(restarted.map(({ state }) => state)).toEqual(['running', 'running']);
      expect((await containers.get('job'))?.state).toBe('running');
      await containers.stop('job', { grace: 0 });
    }
    await containers.destroy('job');
    await expectNothingLeft(root);
  });
});
