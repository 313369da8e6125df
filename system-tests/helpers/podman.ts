import { execFile } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { loadSyscalls } from '#src/system/syscalls/load-syscalls.js';
import { mountsBelow } from '#src/system/syscalls/mounts/mount-table.js';

const run = promisify(execFile);

/**
 * Shows what podman itself makes of an image: pulls it into a store of its own, with settings of its own, so nothing that podman has on this
 * machine is touched or has a say, and mounts it there.
 * @param layout an OCI layout with the tag `latest`
 * @param directory podman's store, made by this
 * @param look is given the mounted root filesystem; afterwards nothing is mounted any more
 */
export async function withPodmanRootfs<Result>(
  layout: string,
  directory: string,
  look: (rootfs: string) => Result,
): Promise<Result> {
  mkdirSync(directory);
  // podman takes no runroot of more than 50 characters.
  const running = mkdtempSync('/run/podman-');
  const engine = join(running, 'engine');
  const storage = join(running, 'storage');
  const trust = join(running, 'trust');
  // Locks in files, because those in shared memory are one for the machine.
  writeFileSync(engine, '[engine]\nlock_type = "file"\nevents_logger = "none"\n');
  writeFileSync(storage, `[storage]\ndriver = "overlay"\ngraphroot = "${directory}"\nrunroot = "${running}/root"\n`);
  writeFileSync(trust, '{"default":[{"type":"insecureAcceptAnything"}]}');
  const env = { ...process.env, CONTAINERS_CONF: engine, CONTAINERS_STORAGE_CONF: storage, TMPDIR: directory };
  const podman = async (...words: string[]): Promise<string> => {
    const { stdout } = await run('podman', ['--tmpdir', `${running}/tmp`, ...words], { env });
    return stdout.trim();
  };
  try {
    const image = await podman('pull', '--quiet', '--signature-policy', trust, `oci:${layout}:latest`);
    return look(await podman('image', 'mount', image));
  } finally {
    // By hand, because `image unmount` leaves the private mount that podman makes of its store.
    for (const place of [directory, running]) {
      for (const mount of mountsBelow(place)) loadSyscalls().detachMount(mount);
    }
    rmSync(running, { recursive: true, force: true });
  }
}
