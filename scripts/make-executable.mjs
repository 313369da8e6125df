// tsc writes files without the executable bit; npm sets it on install, a checkout needs it too.
import { chmodSync } from 'node:fs';

chmodSync(new URL('../dist/cli/main.js', import.meta.url), 0o755);
