import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';

const CDI = '/var/run/cdi';

/** Describes a device on this machine until the test has finished. @param common for each container that has any of its kind @returns the name of its one device, `thing0` */
export function cdiFile(edits: object, common: object = {}): string {
  const kind = `provisioner-test-${process.pid}.example/thing`;
  mkdirSync(CDI, { recursive: true, mode: 0o755 });
  const path = join(CDI, `provisioner-test-${process.pid}.json`);
  onTestFinished(() => rmSync(path, { force: true }));
  const document = {
    cdiVersion: '1.1.0',
    kind,
    containerEdits: common,
    devices: [{ name: 'thing0', containerEdits: edits }],
  };
  writeFileSync(path, JSON.stringify(document), { mode: 0o644 });
  return `${kind}=thing0`;
}
