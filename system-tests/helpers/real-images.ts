import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const script = fileURLToPath(new URL('../../scripts/make-test-images.sh', import.meta.url));

/** OCI layouts of images that were made from Debian packages; each is a directory with the one tag `latest`. The script says what is in them. */
export interface RealImages {
  /** One layer. */
  readonly debian: string;
  /** Four layers; `python3 /app/main.py` prints `hello v1`. */
  readonly appV1: string;
  /** The same but for the top layer; prints `hello v2`. */
  readonly appV2: string;
  /** Every kind of file, in three layers compressed with gzip. */
  readonly mixed: string;
  /** The same layers compressed with zstd, which umoci does not read. */
  readonly mixedZstd: string;
}

/**
 * Makes them, which takes about a minute, when this machine does not have them yet. To be called in `beforeAll` of a group that needs
 * `real images`; several processes may do so at once. They are shared by all tests: read only. `PROVISIONER_TEST_IMAGES` names another
 * directory to keep them in than the script's own.
 */
export async function realImages(): Promise<RealImages> {
  const place = process.env['PROVISIONER_TEST_IMAGES'];
  const { stdout } = await promisify(execFile)(script, place === undefined ? [] : [place]);
  const directory = stdout.trim();
  return {
    debian: join(directory, 'debian'),
    appV1: join(directory, 'app-v1'),
    appV2: join(directory, 'app-v2'),
    mixed: join(directory, 'mixed'),
    mixedZstd: join(directory, 'mixed-zstd'),
  };
}
