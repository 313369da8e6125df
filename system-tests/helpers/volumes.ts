import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { expect } from 'vitest';
import type { Containerizer, LaunchOptions } from '#src/containerizer/index.js';
import type { Provisioner } from '#src/index.js';
import { buildImage, buildLayer } from '../../native-free-tests/helpers/image-builder.js';
import { IMAGE, sh } from './containers.js';
import { pullImages } from './test-store.js';

export type Mounts = LaunchOptions['mounts'];
export type Entries = Exclude<Parameters<typeof buildLayer>[0], Uint8Array>;

const APPLETS = 'sh cat echo ls touch mkdir id sleep mount grep mknod rm stat'.split(' ');
const BUSYBOX: Entries = [
  { path: 'bin/' },
  { path: 'bin/busybox', content: readFileSync('/bin/busybox'), mode: 0o755 },
  ...APPLETS.map((name) => ({ path: `bin/${name}`, type: 'symlink' as const, target: 'busybox' })),
  { path: 'etc/passwd', content: 'root:x:0:0::/root:/bin/sh\n' },
];

/** Busybox, and what the image has and says beside it, as `app:1`. */
export async function pullApp(
  provisioner: Provisioner,
  entries: Entries,
  config: { readonly Volumes?: Readonly<Record<string, object>>; readonly WorkingDir?: string } = {},
): Promise<void> {
  const image = buildImage([buildLayer([...BUSYBOX, ...entries])], {
    config: { Env: ['PATH=/bin'], Cmd: ['true'], ...config },
  });
  await pullImages(provisioner, { 'app:1': image });
}

export const at = (target: string, source: string | undefined = 'data', more: object = {}): Mounts => [
  { type: 'volume', target, ...(source === '' ? {} : { source }), ...more },
];

/** Runs a program to its end. @returns what it printed */
export async function run(
  containers: Containerizer,
  script: string,
  options: LaunchOptions & { readonly id?: string; readonly image?: string } = {},
): Promise<string> {
  const { id = 'job', image = IMAGE, ...rest } = options;
  await containers.launch(id, image, { ...sh(script), ...rest });
  return printed(containers, id);
}

export async function printed(containers: Containerizer, id: string): Promise<string> {
  await containers.wait(id);
  let text = '';
  for await (const { bytes } of containers.logs(id)) text += bytes;
  return text;
}

/** What a store says of itself is what is there. */
export async function expectSound(provisioner: Provisioner): Promise<void> {
  const { findings } = await provisioner.store.check();
  expect(findings.filter(({ severity }) => severity !== 'note')).toEqual([]);
  const { total } = await provisioner.store.usage();
  const [bytes] = execFileSync('du', ['-sx', '--block-size=1', provisioner.root], { encoding: 'utf8' }).split('\t');
  expect(total).toBe(Number(bytes));
}
