// Node's http with http-terminator, within 10 s.
const { createHttpTerminator } = require('http-terminator')
const { create } = require('./routes')

const server = create()
const terminator = createHttpTerminator({ server, gracefulTerminationTimeout: 10_000 })
server.listen(Number(process.argv[2]), '127.0.0.1')

process.on('SIGTERM', async () => {
  await terminator.terminate()
  process.exit(0)
})
