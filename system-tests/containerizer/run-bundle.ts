import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { copyFileSync, mkdirSync, mkdtempSync, readdirSync, rmdirSync, rmSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import { readKernelFacts } from '#src/containerizer/bundle/kernel-facts.js';
import type { BundleOptions } from '#src/containerizer/bundle/make-bundle.js';
import { makeBundle } from '#src/containerizer/bundle/make-bundle.js';
import type { LaunchSpec } from '#src/containerizer/launch-spec.js';
import type { RuntimeConfig } from '#src/image/image-config.js';
import { loadSyscalls } from '#src/system/syscalls/load-syscalls.js';
import { loadTreeCalls } from '#src/system/syscalls/load-tree-calls.js';

const APPLETS =
  'sh id cat echo ls pwd env hostname grep mount touch mkdir stat head sleep test true ulimit umask wc cp chmod nproc dd mknod ip sed'.split(
    ' ',
  );

export const IMAGE: RuntimeConfig = {
  env: ['PATH=/bin'],
  entrypoint: [],
  cmd: [],
  user: '',
  workingDir: '/',
  labels: {},
  stopSignal: '',
  volumes: [],
};

export interface TestPlace {
  /** Is gone after the test. */
  readonly directory: string;
  /** With busybox in `/bin`, and nothing else. */
  readonly rootfs: string;
}

export function placeWithBusybox(): TestPlace {
  const directory = mkdtempSync(join(process.env['TMPDIR'] ?? '/tmp', 'provisioner-bundle-'));
  const rootfs = join(directory, 'rootfs');
  mkdirSync(join(rootfs, 'bin'), { recursive: true });
  copyFileSync('/bin/busybox', join(rootfs, 'bin/busybox'));
  for (const applet of APPLETS) symlinkSync('busybox', join(rootfs, 'bin', applet));
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
  return { directory, rootfs };
}

/** Writes the bundle of a launch, and has crun run it to its end. */
export async function runBundle(
  { directory, rootfs }: TestPlace,
  spec: LaunchSpec,
  options: Partial<BundleOptions> = {},
): Promise<{ readonly output: string; readonly errors: string; readonly status: number | null }> {
  const launchId = randomBytes(16).toString('hex');
  const launch = join(directory, launchId);
  mkdirSync(launch, { mode: 0o700 });
  const parent = `provisioner-test-${launchId.slice(0, 12)}`;
  await makeBundle({
    launchId,
    containerId: 'pod/job_1',
    directory: launch,
    rootfs,
    image: IMAGE,
    spec,
    cgroupsPath: `/${parent}/${launchId}`,
    facts: readKernelFacts(),
    countsSwap: true,
    calls: loadTreeCalls(loadSyscalls()),
    ...options,
  });
  // crun before 1.9 refuses machines that have cgroups of both versions, until the second one is out of its sight.
  const script = 'umount /sys/fs/cgroup/unified 2>/dev/null; exec crun --cgroup-manager cgroupfs "$@" </dev/null';
  const crun = (...words: string[]) =>
    spawnSync('unshare', ['--mount', 'sh', '-c', script, 'sh', '--root', join(launch, 'state'), ...words], {
      encoding: 'utf8',
      timeout: 30_000,
      killSignal: 'SIGKILL',
    });
  try {
    const run = crun('run', '--bundle', launch, launchId);
    return { output: run.stdout, errors: run.stderr, status: run.status };
  } finally {
    // Which is a container that has not come to its end in time.
    crun('delete', '--force', launchId);
    removeCgroups(parent);
  }
}

function removeCgroups(name: string): void {
  for (const controller of ['.', ...readdirSync('/sys/fs/cgroup')]) {
    try {
      rmdirSync(join('/sys/fs/cgroup', controller, name));
    } catch {
      // Not every controller has it.
    }
  }
}
