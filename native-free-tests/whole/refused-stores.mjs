// Opens stores that cannot be had without native modules, in a process of its own. Says in JSON how each ended, and what it left.
//
//   node refused-stores.mjs DIRECTORY
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { Provisioner } from 'provisioner';

const [directory] = process.argv.slice(2);

let attempts = 0;

async function attempt(options) {
  const above = join(directory, `above-${attempts++}`);
  try {
    const provisioner = await Provisioner.open({ root: join(above, 'store'), ...options });
    await provisioner.close();
    return { ended: 'opened' };
  } catch (error) {
    return { ended: error.code, module: error.details?.module, left: existsSync(above) };
  }
}

process.stdout.write(
  JSON.stringify({
    records: [await attempt({}), await attempt({ allowDegraded: true })],
    // The last one, because an ordinary user gets it.
    layers: await attempt({ records: 'memory' }),
  }),
);
