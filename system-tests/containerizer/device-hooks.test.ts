import { chmodSync, existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test, vi } from 'vitest';
import { cdiFile } from '../helpers/cdi-file.js';
import { again, expectNothingLeft, IMAGE, otherContainerizer, storeWithBusybox } from '../helpers/containers.js';
import { describeWith } from '../helpers/requirements.js';
import { temporaryDirectory } from '../helpers/test-store.js';

const NEEDS = ['root', 'overlay', 'crun', 'runc', 'busybox', 'cgroups'] as const;
const MOMENTS = ['prestart', 'createRuntime', 'createContainer'] as const;
const RUNTIMES = ['crun', 'runc'] as const;
const EACH = RUNTIMES.flatMap((runtime) => MOMENTS.map((moment) => [runtime, moment] as const));
const SOON = { timeout: 10_000, interval: 10 };

function script(name: string, text: string): string {
  const path = join(temporaryDirectory(), name);
  writeFileSync(path, `#!/bin/sh\n${text}\n`);
  chmodSync(path, 0o755);
  return path;
}

/** A device whose hook goes on for ever, with a child of its own. */
function slowDevice(hookName: string) {
  const begun = join(temporaryDirectory(), 'begun');
  const path = script('slow', `[ "$1" != child ] && { sh "$0" child & touch ${begun}; }\nwhile :; do sleep 1; done`);
  const runsIt = (pid: string) => readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(`\0${path}\0`);
  return {
    name: cdiFile({ hooks: [{ hookName, path }] }),
    /** Resolves when it runs. */
    begun: () => vi.waitFor(() => expect(existsSync(begun)).toBe(true), SOON),
    /** As this machine numbers them: some are in the container's namespaces. */
    living: () => readdirSync('/proc').filter((name) => /^\d+$/.test(name) && isThere(() => runsIt(name))),
  };
}

function isThere(look: () => boolean): boolean {
  try {
    return look();
  } catch {
    // It has ended meanwhile.
    return false;
  }
}

describeWith(NEEDS, 'a hook of a device', () => {
  test.each(EACH)(
    'that fails keeps the program from running, and is told with what it said: %s, %s',
    async (runtime, hookName) => {
      const { containers, root } = await storeWithBusybox({ runtime });
      const path = script('card', 'cat >/dev/null; echo the card is on fire >&2; exit 3');
      const name = cdiFile({ hooks: [{ hookName, path }] });
      const launched = containers.launch('job', IMAGE, { command: ['true'], cdiDevices: [name] });
      await expect(launched).rejects.toMatchObject({
        code: 'ERR_START_FAILED',
        message: `container job could not be started: a hook of ${name} failed: ${path} ended with status 3, and said: the card is on fire`,
      });
      await expectNothingLeft(root);
    },
  );

  test.each(RUNTIMES)('that takes longer than it may is told so, by %s', async (runtime) => {
    const { containers, root } = await storeWithBusybox({ runtime });
    const name = cdiFile({ hooks: [{ hookName: 'prestart', path: script('late', 'exec sleep 300'), timeout: 1 }] });
    await expect(containers.launch('job', IMAGE, { command: ['true'], cdiDevices: [name] })).rejects.toMatchObject({
      code: 'ERR_START_FAILED',
      message: expect.stringMatching(/a hook of .*thing0 failed: .*\/late took longer than it may/),
    });
    await expectNothingLeft(root);
  });

  test.each(EACH)('ends with the launch that is cancelled: %s, %s', async (runtime, moment) => {
    const { containers, root } = await storeWithBusybox({ runtime });
    const device = slowDevice(moment);
    const cancelling = new AbortController();
    const options = { command: ['true'], cdiDevices: [device.name], signal: cancelling.signal };
    const launched = containers.launch('job', IMAGE, options);
    launched.catch(() => undefined);
    await device.begun();
    cancelling.abort();
    await expect(launched).rejects.toMatchObject({ code: 'ERR_ABORTED' });
    expect(device.living()).toEqual([]);
    await expectNothingLeft(root);
  });

  test.each(RUNTIMES)('ends with the launch that is destroyed, by %s', async (runtime) => {
    const { containers, root } = await storeWithBusybox({ runtime });
    const device = slowDevice('createRuntime');
    const launched = containers.launch('job', IMAGE, { command: ['true'], cdiDevices: [device.name] });
    launched.catch(() => undefined);
    await device.begun();
    const other = await again(root);
    await other.containers.destroy('job', { running: 'kill', anyOwner: true });
    expect(device.living()).toEqual([]);
    await expect(launched).rejects.toMatchObject({ code: 'ERR_START_FAILED' });
    await expectNothingLeft(root);
  });

  test.each(EACH)('ends with the next recovery where whoever launched was killed: %s, %s', async (runtime, moment) => {
    const { root, provisioner } = await storeWithBusybox({ runtime });
    const device = slowDevice(moment);
    const options = JSON.stringify({ command: ['true'], cdiDevices: [device.name] });
    const killed = otherContainerizer(root, `await c.launch('job', '${IMAGE}', ${options});`, {
      owner: provisioner.owner,
    });
    await device.begun();
    await killed.kill();
    expect(device.living()).not.toEqual([]);
    const { containers } = await again(root, { runtime });
    const { undone, failed } = await containers.recover();
    expect({ undone, failed }).toEqual({ undone: ['job'], failed: [] });
    expect(device.living()).toEqual([]);
    await expectNothingLeft(root);
  });
});
