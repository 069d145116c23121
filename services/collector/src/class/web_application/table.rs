//! The web applications, one a line: the file that tells each, and where in it the version stands.

/// A known web application.
#[derive(Debug)]
pub(super) struct Application {
    pub(super) name: &'static str,
    /// The file below its root that tells it.
    pub(super) file: &'static str,
    /// What must stand in that file; empty when its name is enough.
    pub(super) mark: &'static str,
    /// Patterns with one group each, put together by dots.
    pub(super) version: &'static [&'static str],
    pub(super) plugins: &'static [PluginRule],
}

/// Where an application keeps its plugins: each in a folder of its own, with a file that describes it.
#[derive(Debug)]
pub(super) struct PluginRule {
    pub(super) folder: &'static str,
    pub(super) suffix: &'static str,
    pub(super) name: &'static str,
    pub(super) version: &'static str,
    pub(super) description: &'static str,
    pub(super) link: &'static str,
}

const fn application(
    name: &'static str,
    file: &'static str,
    mark: &'static str,
    version: &'static [&'static str],
) -> Application {
    Application { name, file, mark, version, plugins: &[] }
}

impl Application {
    const fn plugins(self, plugins: &'static [PluginRule]) -> Self {
        Application { plugins, ..self }
    }
}

/// A pattern that matches nothing.
const NONE: &str = r"[^\s\S]()";

const fn info(folder: &'static str) -> PluginRule {
    PluginRule {
        folder,
        suffix: ".info.yml",
        name: r#"(?m)^name:\s*['"]?([^'"\r\n]+)"#,
        version: r#"(?m)^version:\s*['"]?([^'"\r\n]+)"#,
        description: r#"(?m)^description:\s*['"]?([^'"\r\n]+)"#,
        link: NONE,
    }
}

const fn old_info(folder: &'static str) -> PluginRule {
    PluginRule {
        folder,
        suffix: ".info",
        name: r#"(?m)^name\s*=\s*"?([^"\r\n]+)"#,
        version: r#"(?m)^version\s*=\s*"?([^"\r\n]+)"#,
        description: r#"(?m)^description\s*=\s*"?([^"\r\n]+)"#,
        link: NONE,
    }
}

const fn manifest(folder: &'static str) -> PluginRule {
    PluginRule {
        folder,
        suffix: ".xml",
        name: r"(?s)<extension\b.*?<name>([^<]+)</name>",
        version: r"<version>([^<]+)</version>",
        description: r"<description>([^<]+)</description>",
        link: r"<authorUrl>([^<]+)</authorUrl>",
    }
}

const WORDPRESS_PLUGINS: PluginRule = PluginRule {
    folder: "wp-content/plugins",
    suffix: ".php",
    name: r"(?mi)^[ \t/*#@]*Plugin Name:[ \t]*([^\r\n]+)",
    version: r"(?mi)^[ \t/*#@]*Version:[ \t]*([^\r\n]+)",
    description: r"(?mi)^[ \t/*#@]*Description:[ \t]*([^\r\n]+)",
    link: r"(?mi)^[ \t/*#@]*Plugin URI:[ \t]*([^\r\n]+)",
};

/// Every known web application.
#[rustfmt::skip]
pub(super) static APPLICATIONS: &[Application] = &[
    application("WordPress", "wp-includes/version.php", "wp_version", &[r#"\$wp_version\s*=\s*['"]([^'"]+)"#]).plugins(&[WORDPRESS_PLUGINS]),
    application("Drupal", "core/lib/Drupal.php", "class Drupal", &[r"const VERSION = '([^']+)'"]).plugins(&[info("modules"), info("modules/contrib"), info("modules/custom")]),
    application("Drupal", "includes/bootstrap.inc", "DRUPAL_", &[r"define\('VERSION', '([^']+)'"]).plugins(&[old_info("sites/all/modules"), old_info("sites/all/modules/contrib")]),
    application("Joomla", "administrator/manifests/files/joomla.xml", "joomla", &[r"<version>([^<]+)</version>"]).plugins(&[manifest("administrator/components"), manifest("modules"), manifest("plugins/system"), manifest("plugins/content")]),
    application("phpMyAdmin", "libraries/classes/Version.php", "PhpMyAdmin", &[r"VERSION = '([^']+)'"]),
    application("phpMyAdmin", "src/Version.php", "PhpMyAdmin", &[r"VERSION = '([^']+)'"]),
    application("phpMyAdmin", "libraries/classes/Config.php", "PhpMyAdmin", &[r"PMA_VERSION', '([^']+)'"]),
    application("MediaWiki", "includes/Defines.php", "MW_VERSION", &[r"'MW_VERSION', '([^']+)'"]),
    application("Moodle", "version.php", "$maturity", &[r"\$release\s*=\s*'([\d.]+)"]),
    application("Nextcloud", "version.php", "nextcloud", &[r"\$OC_VersionString\s*=\s*'([^']+)'"]),
    application("ownCloud", "version.php", "owncloud", &[r"\$OC_VersionString\s*=\s*'([^']+)'"]),
    application("Magento", "app/etc/di.xml", "Magento", &[]),
    application("PrestaShop", "config/defines.inc.php", "_PS_", &[]),
    application("OpenCart", "catalog/controller/common/home.php", "Controller", &[]),
    application("Discuz!", "source/discuz_version.php", "DISCUZ_VERSION", &[r"'DISCUZ_VERSION', '([^']+)'"]),
    application("DedeCMS", "data/admin/ver.txt", "", &[r"^(\d+)"]),
    application("ECShop", "includes/cls_ecshop.php", "VERSION", &[r"'VERSION',\s*'v?([^']+)'"]),
    application("PHPCMS", "phpcms/version.php", "pc_version", &[r"'pc_version' => '([^']+)'"]),
    application("Typecho", "var/Typecho/Common.php", "Typecho", &[r"VERSION = '([^']+)'"]),
    application("Z-BlogPHP", "zb_system/function/c_system_version.php", "", &[r"ZC_VERSION_MAJOR'?\s*[,=]\s*'?(\d+)", r"ZC_VERSION_MINOR'?\s*[,=]\s*'?(\d+)"]),
    application("phpBB", "includes/constants.php", "PHPBB_VERSION", &[r"'PHPBB_VERSION', '([^']+)'"]),
    application("MyBB", "inc/class_core.php", "class MyBB", &[r#"\$version\s*=\s*"([^"]+)""#]),
    application("DokuWiki", "doku.php", "DokuWiki", &[]),
    application("Roundcube", "program/include/iniset.php", "RCMAIL_VERSION", &[r"'RCMAIL_VERSION', '([^']+)'"]),
    application("Zabbix", "include/defines.inc.php", "ZABBIX_VERSION", &[r"'ZABBIX_VERSION',\s*'([^']+)'"]),
    application("Cacti", "include/cacti_version", "", &[r"^([\d.]+)"]),
    application("TYPO3", "typo3/sysext/core/Classes/Information/Typo3Version.php", "Typo3Version", &[r"VERSION = '([^']+)'"]),
    application("Matomo", "core/Version.php", "Piwik", &[r"VERSION = '([^']+)'"]),
    application("Adminer", "adminer.php", "Adminer", &[r"@version ([\d.]+)"]),
    application("phpPgAdmin", "libraries/lib.inc.php", "phpPgAdmin", &[r"\$appVersion = '([^']+)'"]),
    application("SuiteCRM", "suitecrm_version.php", "suitecrm_version", &[r"\$suitecrm_version\s*=\s*'([^']+)'"]),
    application("Dolibarr", "filefunc.inc.php", "DOL_VERSION", &[r"'DOL_VERSION', '([^']+)'"]),
    application("GLPI", "inc/define.php", "GLPI_VERSION", &[r"'GLPI_VERSION', '([^']+)'"]),
    application("Jenkins", "WEB-INF/jenkins-cli.jar", "", &[]),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pattern_compiles_and_has_one_group() {
        let one_group = |pattern: &str| {
            let regex = regex::bytes::Regex::new(pattern).unwrap_or_else(|e| panic!("{e}"));
            assert_eq!(regex.captures_len(), 2, "{pattern}");
        };
        for application in APPLICATIONS {
            application.version.iter().for_each(|pattern| one_group(pattern));
            for rule in application.plugins {
                [rule.name, rule.version, rule.description, rule.link].into_iter().for_each(one_group);
            }
        }
    }
}
