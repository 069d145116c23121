//! The web frameworks, one a line: the package that each comes as.

use super::ProgrammingLanguage::{self, Java, Node, Php, Python, Ruby};

/// A known web framework.
#[derive(Debug)]
pub(super) struct Framework {
    pub(super) name: &'static str,
    pub(super) language: ProgrammingLanguage,
    /// The package's name, as its language's package manager has it: of Python in lower case with `-`, of Java the
    /// artifact.
    pub(super) package: &'static str,
}

const fn framework(name: &'static str, language: ProgrammingLanguage, package: &'static str) -> Framework {
    Framework { name, language, package }
}

impl Framework {
    /// The framework that a package is.
    pub(super) fn of(language: ProgrammingLanguage, package: &str) -> Option<&'static Framework> {
        FRAMEWORKS.iter().find(|framework| framework.language == language && framework.package == package)
    }

    /// Whether an archive is of the framework: `spring-web` is of the one that `spring-core` tells, as the names of a
    /// framework's artifacts begin alike.
    pub(super) fn has(&self, artifact: &str) -> bool {
        let parts = ["-core", "-server", "-web", "-api"];
        let family = parts.iter().find_map(|part| self.package.strip_suffix(part)).unwrap_or(self.package);
        artifact.strip_prefix(family).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
    }
}

/// Every known web framework.
pub(super) static FRAMEWORKS: &[Framework] = &[
    framework("Django", Python, "django"),
    framework("Django REST framework", Python, "djangorestframework"),
    framework("Flask", Python, "flask"),
    framework("FastAPI", Python, "fastapi"),
    framework("Starlette", Python, "starlette"),
    framework("Tornado", Python, "tornado"),
    framework("aiohttp", Python, "aiohttp"),
    framework("Bottle", Python, "bottle"),
    framework("Pyramid", Python, "pyramid"),
    framework("Sanic", Python, "sanic"),
    framework("Falcon", Python, "falcon"),
    framework("CherryPy", Python, "cherrypy"),
    framework("web.py", Python, "web-py"),
    framework("Quart", Python, "quart"),
    framework("Litestar", Python, "litestar"),
    framework("Twisted", Python, "twisted"),
    framework("Streamlit", Python, "streamlit"),
    framework("Gradio", Python, "gradio"),
    framework("Spring", Java, "spring-core"),
    framework("Spring Boot", Java, "spring-boot"),
    framework("Spring MVC", Java, "spring-webmvc"),
    framework("Spring WebFlux", Java, "spring-webflux"),
    framework("Spring Security", Java, "spring-security-core"),
    framework("Struts", Java, "struts2-core"),
    framework("Struts", Java, "struts-core"),
    framework("Shiro", Java, "shiro-core"),
    framework("Hibernate", Java, "hibernate-core"),
    framework("MyBatis", Java, "mybatis"),
    framework("Wicket", Java, "wicket-core"),
    framework("Vert.x", Java, "vertx-web"),
    framework("Quarkus", Java, "quarkus-core"),
    framework("Micronaut", Java, "micronaut-core"),
    framework("Dropwizard", Java, "dropwizard-core"),
    framework("Jersey", Java, "jersey-server"),
    framework("Grails", Java, "grails-core"),
    framework("Vaadin", Java, "vaadin-server"),
    framework("Tapestry", Java, "tapestry-core"),
    framework("JSF", Java, "jsf-api"),
    framework("JFinal", Java, "jfinal"),
    framework("Laravel", Php, "laravel/framework"),
    framework("Symfony", Php, "symfony/http-kernel"),
    framework("Symfony", Php, "symfony/symfony"),
    framework("ThinkPHP", Php, "topthink/framework"),
    framework("CodeIgniter", Php, "codeigniter4/framework"),
    framework("Yii", Php, "yiisoft/yii2"),
    framework("CakePHP", Php, "cakephp/cakephp"),
    framework("Slim", Php, "slim/slim"),
    framework("Laminas", Php, "laminas/laminas-mvc"),
    framework("Express", Node, "express"),
    framework("Koa", Node, "koa"),
    framework("Fastify", Node, "fastify"),
    framework("NestJS", Node, "@nestjs/core"),
    framework("hapi", Node, "@hapi/hapi"),
    framework("Next.js", Node, "next"),
    framework("Nuxt", Node, "nuxt"),
    framework("Egg.js", Node, "egg"),
    framework("Sails", Node, "sails"),
    framework("Meteor", Node, "meteor-node-stubs"),
    framework("Ruby on Rails", Ruby, "rails"),
    framework("Sinatra", Ruby, "sinatra"),
    framework("Hanami", Ruby, "hanami"),
    framework("Grape", Ruby, "grape"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frameworks_archives_begin_with_its_name() {
        for (package, artifact, expected) in [
            ("spring-core", "spring-core", true),
            ("spring-core", "spring-web", true),
            ("spring-core", "springfox-core", false),
            ("spring-boot", "spring-boot-autoconfigure", true),
            ("spring-boot", "spring-web", false),
            ("struts2-core", "struts2-json-plugin", true),
            ("mybatis", "mybatis-spring", true),
        ] {
            let framework = Framework::of(Java, package).unwrap_or_else(|| panic!("{package}"));
            assert_eq!(framework.has(artifact), expected, "{package} {artifact}");
        }
    }
}
