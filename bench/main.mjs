// npm run bench -- NAME [options]: each benchmark is a file beside this one.
const NAMES = [
  'provision',
  'pull',
  'unpack',
  'tar',
  'copy',
  'fork',
  'sweep',
  'seams',
  'wide',
  'prune',
  'scale',
  'crowd',
  'durability',
  'run',
  'terminals',
  'networks',
  'pool',
  'compare',
];

const [name, ...options] = process.argv.slice(2);
if (!NAMES.includes(name)) {
  console.error(`usage: npm run bench -- ${NAMES.join('|')} [options]`);
  process.exit(2);
}
const { run } = await import(`./${name}.mjs`);
await run(options);
