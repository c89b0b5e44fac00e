// Node's http with server.close() alone, as Node's documentation shows it.
const { create } = require('./routes')

const server = create()
server.listen(Number(process.argv[2]), '127.0.0.1')

process.on('SIGTERM', () => {
  server.close(() => process.exit(0))
})
