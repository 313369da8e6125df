// Pulls one source into a new store and prints this process's peak memory in MB: what `unpack.mjs` and `pull.mjs` time.
import { Provisioner } from '../dist/index.js';
import { peakMemory } from './measure.mjs';

const [source, root, options = '{}'] = process.argv.slice(2);
const provisioner = await Provisioner.open({ root, ...JSON.parse(options) });
await provisioner.images.pull(source, { name: 'bench' });
console.log(peakMemory());
await provisioner.close();
