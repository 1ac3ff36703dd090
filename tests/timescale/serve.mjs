// TimescaleDB compiled to WASM, in memory, behind PostgreSQL's wire protocol on a loopback port that it prints.
// One backend stands behind every connection; nothing is durable; background workers do not run. For our DDL and queries only.
import { PGlite } from '@electric-sql/pglite'
import { timescaledb } from '@electric-sql/pglite/timescaledb'
import { PGLiteSocketServer } from '@electric-sql/pglite-socket'

// Debian 12 has Node 18, where this class is still behind a flag.
globalThis.CustomEvent ??= class CustomEvent extends Event {
  constructor(type, options = {}) {
    super(type, options)
    this.detail = options.detail ?? null
  }
}

const db = await PGlite.create({ extensions: { timescaledb } })
await db.exec('create extension if not exists timescaledb')
const server = new PGLiteSocketServer({ db, port: 0, host: '127.0.0.1', maxConnections: 16 })
server.addEventListener('listening', (event) => console.log(JSON.stringify(event.detail)))
await server.start()

const end = async () => {
  await server.stop()
  process.exit(0)
}
process.on('SIGTERM', end)
process.on('SIGINT', end)
