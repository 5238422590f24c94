// Runs a Jenkinsfile's steps as Jenkins would, with the shared library's own step: args are the library, the script, and the
// credential's id. Of Jenkins's steps these have their meaning: sh (with -xe), withEnv, withCredentials, error, libraryResource.
def library = new File(args[0])
def state = [environment: System.getenv().findAll { it.key != 'ACR_TOKEN' }]

def within = { Map more, Closure body ->
  def before = state.environment
  state.environment = before + more
  try { body() } finally { state.environment = before }
}
def steps = [
  sh: { given ->
    def options = given instanceof Map ? given : [script: given]
    def builder = new ProcessBuilder('sh', '-xec', options.script.toString())
    builder.environment().clear()
    builder.environment().putAll(state.environment)
    builder.redirectError(ProcessBuilder.Redirect.INHERIT)
    if (!options.returnStdout) builder.redirectOutput(ProcessBuilder.Redirect.INHERIT)
    def process = builder.start()
    def printed = options.returnStdout ? process.inputStream.text : null
    if (process.waitFor() != 0) throw new IllegalStateException("script returned exit code ${process.exitValue()}")
    printed
  },
  withEnv: { List pairs, Closure body -> within(pairs.collectEntries { it.toString().split('=', 2) as List }, body) },
  string: { Map options -> options },
  withCredentials: { List bindings, Closure body ->
    def (binding) = bindings
    if (binding.credentialsId != args[2]) throw new IllegalStateException("Could not find credentials entry with ID '${binding.credentialsId}'")
    within([(binding.variable): System.getenv('ACR_TOKEN')], body)
  },
  error: { message -> throw new IllegalStateException(message.toString()) },
  libraryResource: { name -> new File(library, "resources/${name}").text },
]
steps.withAcrLogin = { Object... given ->
  new GroovyShell(new Binding(steps)).parse(new File(library, 'vars/withAcrLogin.groovy')).call(*given)
}
try {
  new GroovyShell(new Binding(steps)).evaluate(new File(args[1]))
} catch (IllegalStateException failed) {
  System.err.println("ERROR: ${failed.message}")
  System.exit(1)
}
