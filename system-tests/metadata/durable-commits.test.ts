import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { Provisioner } from '#src/index.js';
import { buildImage, buildLayer, writeOciLayout } from '../../native-free-tests/helpers/image-builder.js';
import { describeWith } from '../helpers/requirements.js';
import { temporaryDirectory } from '../helpers/test-store.js';

const MAIN = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));

describeWith(['root', 'strace'], 'a pull of twenty layers', () => {
  test('waits for the disk at most ten times on behalf of the records', async () => {
    const place = temporaryDirectory();
    const [layout, trace, root] = ['layout', 'trace', 'store'].map((name) => join(place, name)) as [
      string,
      string,
      string,
    ];
    const layers = Array.from({ length: 20 }, (_, index) => buildLayer([{ path: `f${index}`, content: `${index}` }]));
    await writeOciLayout(layout, [{ image: buildImage(layers), refName: 'app' }]);
    await (await Provisioner.open({ root })).close();
    const command = [process.execPath, MAIN, '--root', root, 'pull', `oci:${layout}`, '--name', 'app:v1'];
    execFileSync('strace', ['-f', '-y', '-e', 'trace=fsync,fdatasync,syncfs', '-o', trace, ...command]);
    const syncs = readFileSync(trace, 'utf8')
      .split('\n')
      .filter((line) => /(?:fsync|fdatasync)\(/.test(line));
    const records = syncs.filter((line) => line.includes('metadata.sqlite'));
    expect(records.length).toBeGreaterThan(0);
    expect(records.length).toBeLessThanOrEqual(10);
  });
});
