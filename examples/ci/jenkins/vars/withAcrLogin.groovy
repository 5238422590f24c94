/**
 * Runs its body with a Docker configuration that is logged in, in a folder of its own, which is removed whatever happens.
 * Needs the plugins oidc-provider and credentials-binding. docs/clients/ci.md#jenkins
 *
 *     withAcrLogin(url: 'https://acr-broker.example.com', scope: 'repository:web/app:pull,push') { sh 'docker push …' }
 */
def call(Map options, Closure body) {
  def known = ['url', 'scope', 'grant', 'registry', 'ttl', 'credentialsId']
  def unknown = options.keySet().find { !known.contains(it.toString()) }
  if (unknown != null) {
    error("withAcrLogin has no option ${unknown}; it has ${known.join(', ')}")
  }
  def folder = sh(
    label: 'a folder for the login',
    returnStdout: true,
    script: 'mkdir -p "${WORKSPACE_TMP:-/tmp}" && mktemp -d "${WORKSPACE_TMP:-/tmp}/acr-login.XXXXXX"',
  ).trim()
  try {
    withCredentials([string(credentialsId: options.credentialsId ?: 'acr-broker', variable: 'ACR_TOKEN')]) {
      withEnv([
        "ACR_FOLDER=${folder}",
        "ACR_BROKER_URL=${options.url ?: ''}",
        "ACR_SCOPE=${options.scope instanceof List ? options.scope.join(' ') : options.scope ?: ''}",
        "ACR_GRANT=${options.grant ?: ''}",
        "ACR_REGISTRY=${options.registry ?: ''}",
        "ACR_TTL=${options.ttl ?: ''}",
      ]) {
        sh(label: 'log in', script: '{ set +x; } 2>/dev/null\n' + libraryResource('acr-login.sh') + '''
          acr_token() { printenv ACR_TOKEN; }
          acr_login "$ACR_FOLDER"
        ''')
      }
    }
    withEnv(["DOCKER_CONFIG=${folder}", "REGISTRY_AUTH_FILE=${folder}/auth.json"]) {
      body()
    }
  } finally {
    withEnv(["ACR_FOLDER=${folder}"]) {
      sh(label: 'remove the login', script: 'rm -rf "$ACR_FOLDER"')
    }
  }
}
