import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { expect, onTestFinished, test, vi } from 'vitest';
import { hierarchiesOfThisProcess } from '#src/containerizer/cgroups/hierarchies.js';
import { endAll } from '#src/containerizer/launches/ends/remains.js';
import type { Machine } from '#src/containerizer/machine.js';
import type { LaunchRecord } from '#src/index.js';
import { SURROUNDINGS } from '../helpers/cgroups.js';
import { describeWith } from '../helpers/requirements.js';
import { temporaryDirectory } from '../helpers/test-store.js';

const ID = '00112233445566778899aabbccddeeff';

describeWith(['root', 'cgroups'], 'what a launch leaves', () => {
  test('goes although a runtime, which was killed in the middle of its work, is still writing its notes', async () => {
    const stateRoot = join(temporaryDirectory(), 'crun');
    const notes = join(stateRoot, ID);
    mkdirSync(notes, { recursive: true, mode: 0o700 });
    // Makes the directory again, too, as often as it is taken away, for a while.
    const script = `i=0; while [ $i -lt 400 ]; do mkdir -p ${notes}; for n in 1 2 3 4 5 6 7 8; do true > ${notes}/$n; done; i=$((i + 1)); done 2> /dev/null`;
    const runtime = spawn('/bin/sh', ['-c', script], { stdio: 'ignore' });
    onTestFinished(() => void runtime.kill('SIGKILL'));
    const ended = once(runtime, 'exit');
    await vi.waitFor(() => expect(readdirSync(notes).length).toBeGreaterThan(4), { timeout: 5000, interval: 1 });
    const machine = {
      bootId: 'this',
      hierarchies: hierarchiesOfThisProcess(),
      surroundings: SURROUNDINGS,
    } as unknown as Machine;
    const place = JSON.stringify({ runtime: 'crun', stateRoot, cgroupsPath: `/provisioner-0123456789ab/${ID}` });
    const launch = { id: ID, bootId: 'this', place } as unknown as LaunchRecord;
    let calls = 0;
    for (let over = false; !over; calls++) {
      over = runtime.exitCode !== null;
      expect(await endAll(machine, launch)).toEqual([]);
      await new Promise(setImmediate);
    }
    await ended;
    expect(calls).toBeGreaterThan(1);
    expect(existsSync(notes)).toBe(false);
  });
});
